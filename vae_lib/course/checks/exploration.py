"""Checks of the exercises in notebook 2."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_lib.course.checks.verdicts import Ask, Slip, compare, exercise, same


@exercise(2, "It looks at pattern, not only at distance, as a blurred and a brighter face show.")
def structural_similarity(ask: Ask) -> str:
    """``structural_similarity(x, y)``: SSIM of two pictures taken as one window, a number."""
    x, noise = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    y = (0.6 * x + 0.3 * noise).clamp(0, 1)
    pairs = [(x, y), (0.02 * x, 0.03 * y)]  # on dark pictures the small constants matter
    n, c1, c2 = x.numel(), 0.01**2, 0.03**2
    found = [ask.tensor(*pair) for pair in pairs]
    if found[0].shape != ():
        return f"two pictures give one number; yours has shape {tuple(found[0].shape)}."

    def of_both(formula: Callable[..., Tensor], correction: int = 0) -> Tensor:
        results = []
        for a, b in pairs:
            deviations = (a - a.mean()) * (b - b.mean())
            covariance = deviations.sum() / (n - correction)
            variances = a.var(correction=correction), b.var(correction=correction)
            results.append(formula(a.mean(), b.mean(), *variances, covariance))
        return torch.stack(results)

    def first(m, k, c=c1, two=2):
        return (two * m * k + c) / (m**2 + k**2 + c)

    def second(v, w, s, c=c2, two=2):
        return (two * s + c) / (v + w + c)

    # Variances divided by n or by n − 1 are both in use; within one formula they should agree.
    if any(same(torch.stack(found), of_both(lambda m, k, v, w, s: first(m, k) * second(v, w, s),
                                             correction)) for correction in (0, 1)):  # fmt: skip
        return ""
    more = n / (n - 1)  # turns one kind of variance into the other
    slips = [
        (lambda m, k, v, w, s: first(m, k),
         "this compares the means alone; the second factor compares the patterns."),
        (lambda m, k, v, w, s: second(v, w, s),
         "this compares the patterns alone; the first factor compares the means."),
        (lambda m, k, v, w, s: m * k / (m**2 + k**2),
         "this compares the means alone; and does a 2 stand in both numerators? It is missing."),
        (lambda m, k, v, w, s: first(m, k) + second(v, w, s),
         "the two factors are multiplied, not added."),
        (lambda m, k, v, w, s: first(m, k, two=1) * second(v, w, s),
         "does a 2 stand in both numerators? In the first it is missing."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s, two=1),
         "does a 2 stand in both numerators? In the second it is missing."),
        (lambda m, k, v, w, s: first(m, k, two=1) * second(v, w, s, two=1),
         "a 2 is missing in both numerators."),
        (lambda m, k, v, w, s: first(m, k) * second(v.sqrt(), w.sqrt(), s),
         "the second factor has the variances below, the squares of std, not std itself."),
        (lambda m, k, v, w, s: first(m, k) * (2 * v.sqrt() * w.sqrt() + c2) / (v + w + c2),
         "the second factor has the covariance above; yours has the product of both std."),
        (lambda m, k, v, w, s: first(m, k) * (s + c2) / ((v * w).sqrt() + c2),
         "the second factor has the sum of the two variances below; yours has the product of both "
         "std, which gives a correlation."),
        (lambda m, k, v, w, s: s / (v * w).sqrt(), "this is the correlation; the formula's second "
         "factor has the sum of the two variances below, and the first compares the means."),
        (lambda m, k, v, w, s: first(m, k) * s / (v * w).sqrt(),
         "the second factor is a correlation here; the formula has the sum of the two variances "
         "below, and the small constant."),
        (lambda m, k, v, w, s: (2 * m * k + c1) / (m + k + c1) * second(v, w, s),
         "the means have to be squared below."),
        (lambda m, k, v, w, s: (2 * m * k + c1) / ((m + k) ** 2 + c1) * second(v, w, s),
         "below stand the squares of both means, m_x² + m_y², and not the square of their sum."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s + m * k),
         "the covariance is of what is left when the means are subtracted; yours is the mean of "
         "the product x · y."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s * n),
         "the covariance is a mean over pixels; yours is a sum."),
        (lambda m, k, v, w, s: first(m, k) * second(v * n, w * n, s * n),
         "variances and covariance are means over pixels; yours are sums."),
        (lambda m, k, v, w, s: first(m, k, c2) * second(v, w, s, c1),
         "c₁ and c₂ have changed places."),
        (lambda m, k, v, w, s: first(m, k, 0) * second(v, w, s, 0), "c₁ and c₂ are missing."),
        (lambda m, k, v, w, s: first(m, k, 0) * second(v, w, s), "c₁ is missing."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s, 0), "c₂ is missing."),
        (lambda m, k, v, w, s: first(m, k, 0.01) * second(v, w, s, 0.03),
         "c₁ and c₂ are squares: 0.01² and 0.03²."),
        (lambda m, k, v, w, s: first(m, k, c1 * 255**2) * second(v, w, s, c2 * 255**2),
         "c₁ and c₂ are 0.01² and 0.03² here, since pixels lie in [0, 1]."),
    ]  # fmt: skip
    both = torch.stack([value if value.ndim == 0 else value.sum() for value in found])
    for correction in (0, 1):
        for formula, sentence in slips:
            if same(both, of_both(formula, correction)):
                return sentence
    for formula, sentence in (
        (lambda m, k, v, w, s: first(m, k) * second(v * more, w * more, s),
         "your variances are divided by n − 1, which is what var does by itself, and your "
         "covariance by n. Divide both by n: x.var(correction=0)."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s * more),
         "your covariance is divided by n − 1, and your variances by n. Divide both by n."),
    ):  # fmt: skip
        if same(both, of_both(formula)):
            return sentence
    own = ask.tensor(x, x)
    if not same(own, 1.0):
        return (
            "a picture is as similar to itself as can be, which is 1; yours gives "
            f"{float(own.sum()):.4g}."
            + (
                " So numerators and denominators differ: compare term by term."
                if own.isfinite()
                else ""
            )
        )
    right = of_both(lambda m, k, v, w, s: first(m, k) * second(v, w, s))
    at = 0 if not same(both[0], right[0]) else 1
    habit = ask.habits((x, y), (0, 1))
    return (
        "equal pictures give 1, as they should. For two others"
        + (" that are dark" if at else "")
        + f" the formula gives {float(right[at]):.4f}, and yours {float(both[at]):.4f}. The second "
        "factor has the covariance above and the two variances (squares of std) below."
    ) + habit


@exercise(2, "Noise within posteriors and distance between faces together fill the prior.")
def aggregate_variance(ask: Ask) -> str:
    """``aggregate_variance(mu, logvar)``: variance of draws from all posteriors, per dimension."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 400, 3, generator=generator).double()
    mu = mu * torch.tensor([0.2, 1.0, 2.0]) + torch.tensor([0.5, -1.0, 0.3])
    logvar = logvar - torch.tensor([0.1, 1.0, 3.0])
    found = ask.tensor(mu, logvar)
    if found.shape != (3,):
        return (
            "400 posteriors of 3 dimensions give 3 variances; yours has shape "
            f"{tuple(found.shape)}. Average over the faces, dimension 0."
        )
    variance, sigma = logvar.exp(), torch.exp(logvar / 2)
    within = variance.mean(0)
    law = "The variance of a mixture is the variance of the means plus the mean of the variances."
    slips: list[Slip] = [
        (within, "this is the noise alone; the means differ from face to face as well."),
        (mu.square().mean(0) + within, "the variance of the means is their mean square minus the "
         "square of their mean; you do not subtract it."),
    ]  # fmt: skip
    for between in (mu.var(0, correction=0), mu.var(0)):  # by n or by n − 1
        if same(found, between + within):
            return ""
        slips += [
            (between, "this is the variance of the means alone; each draw also has its "
             "posterior's noise."),
            (between + sigma.mean(0), "exp(logvar / 2) is a standard deviation; variances add, "
             "and those are exp(logvar)."),
            (between + sigma.mean(0).square(), "square first and average afterwards: the mean of "
             "the variances is not the square of the mean standard deviation."),
            (between + logvar.mean(0).exp(), "take the exponential first and the mean afterwards; "
             "the order matters."),
            (between + logvar.mean(0), "logvar is the logarithm of a variance; add the mean of "
             "exp(logvar)."),
            (between + variance.sum(0), "this adds the sum of the variances; add their mean."),
            (between + variance.median(0).values, "this adds the median of the variances; add "
             "their mean."),
            (between + variance.var(0), "this adds the variance of the variances; add their mean."),
            (between + variance.var(0, correction=0), "this adds the variance of the variances; "
             "add their mean."),
            (between - within, "the two variances are added."),
            (between * within, "the two variances are added, not multiplied."),
            ((between + within) / 2, "the two variances are added, not averaged."),
            ((between + within).sqrt(), "this is the standard deviation; the variance is its "
             "square."),
            (between.sqrt() + within, f"mu's part here is a standard deviation. {law}"),
            (between.sqrt() + sigma.mean(0), f"standard deviations do not add. {law}"),
        ]  # fmt: skip
    expected = mu.var(0, correction=0) + within
    wrong = compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    return f"{wrong} {law}" + ask.habits((mu, logvar), (0, 1))


@exercise(2, "Between two codes of one length it keeps that length all the way.")
def spherical(ask: Ask) -> str:
    """``spherical(a, b, t)``: the code a fraction t of the way along the arc from a to b."""
    a, b = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).double()
    b = b + 0.8 * a  # some 50 degrees, where angle, sine and dot product differ
    u, v = a / a.norm(), b / b.norm()
    across = v - (u @ v) * u
    across = across / across.norm()
    angle = torch.atan2(v @ across, v @ u)

    def arc(t: float) -> Tensor:
        return torch.cos(t * angle) * u + torch.sin(t * angle) * across  # by rotation

    def weighed(t: float, p: Tensor, q: Tensor, theta: Any = angle) -> Tensor:
        theta = torch.as_tensor(theta).double()
        return (torch.sin((1 - t) * theta) * p + torch.sin(t * theta) * q) / torch.sin(theta)

    found = ask.tensor(u, v, 0.3)
    if found.shape != (16,):
        return f"a and b have shape (16,), and your result {tuple(found.shape)}; they should agree."
    straight = torch.lerp(u, v, 0.3)
    slips = [
        (straight, "this is the straight way; its middle lies closer to zero than its ends."),
        (straight / straight.norm(), "the length is kept, but the angle does not grow evenly: a "
         "straight way stretched to the sphere is slow at the ends. Use the sines."),
        (torch.sin(angle) * arc(0.3), "divide by sin(angle), so that t = 0 gives a itself."),
        (arc(0.7), "t = 0 should give a, and t = 1 should give b; yours goes from b to a."),
        (torch.sin(angle * 0.7) * u + torch.sin(angle * 0.3) * v / torch.sin(angle), "both terms "
         "are divided by sin(angle); brackets are missing."),
        (torch.sin(angle) * arc(0.3) / angle, "divide by the sine of the angle, not by the angle."),
        (weighed(0.3, u, v, u @ v), "the angle is the arccosine of the dot product; you take the "
         "dot product itself."),
        (weighed(0.3, u, v, torch.rad2deg(angle)), "torch.sin wants radians; your angle is in "
         "degrees."),
        (weighed(0.3, u, v, torch.pi / 2), "your angle is a right angle whatever a and b are."),
        (torch.cos(0.3 * angle) * u + torch.sin(0.3 * angle) * v, "cos and sin fit two directions "
         "at right angles, and b is not at right angles to a. Take the formula's sines."),
        ((torch.cos(0.7 * angle) * u + torch.cos(0.3 * angle) * v) / torch.cos(angle), "sines, not "
         "cosines, weigh the two ends."),
    ]  # fmt: skip
    for value, sentence in slips:
        if same(found, value) and not same(value, arc(0.3)):
            return sentence
    ends = ask.tensor(u, v, 0.0), ask.tensor(u, v, 1.0)
    if not same(ends[0], u) or not same(ends[1], v):
        wrong = next(t for t, end, right in zip("01", ends, (u, v), strict=True)
                     if not same(end, right))  # fmt: skip
        return (
            "t = 0 should give a, and t = 1 should give b; yours does something else for "
            f"t = {wrong}."
        )
    if not same(found, arc(0.3)):
        aside = found - (found @ u) * u - (found @ across) * across
        if same(aside.norm(), 0.0) and same(found.norm(), 1.0):
            way = float(torch.atan2(found @ across, found @ u) / angle)
            return (
                "both ends are right and all lies on the arc, but t = 0.3 gives a fraction "
                f"{way:.3f} of the angle."
            )
        return (
            "both ends are right, and what lies between them is not on the arc: for two codes of "
            f"length 1, t = 0.3 gives one of length {float(found.norm()):.3f}, "
            f"{float((found - arc(0.3)).norm()):.3f} away from where it should be."
        ) + ask.habits((u, v, 0.3))
    expected, longer = weighed(0.3, a, b), ask.tensor(a, b, 0.3)
    if same(longer, expected):
        return ""
    if same(longer, arc(0.3)):
        return (
            "right for codes of length 1. Of others only the angle is taken between codes brought "
            "to length 1; the sum is of a and b themselves."
        )
    return (
        "right for codes of length 1. For others the angle is the arccosine of their dot "
        "product divided by both lengths."
    )


@exercise(2, "One step along it leads from the average face without to the average face with.")
def attribute_direction(ask: Ask) -> str:
    """``attribute_direction(mu, labels)``: mean code with an attribute minus mean code without."""
    mu = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    labels = (torch.arange(50) % 5 == 0).double()  # a fifth has it
    mu += labels[:, None] * torch.arange(6)
    found = ask.tensor(mu, labels)
    if found.shape != (6,):
        return (
            f"codes of 6 dimensions have a direction of shape (6,); yours is {tuple(found.shape)}. "
            "Average over the faces, dimension 0."
        )
    those, others = mu[labels > 0], mu[labels == 0]
    having, lacking = those.mean(0), others.mean(0)
    expected = having - lacking
    signs = (2 * labels - 1)[:, None]
    slips = [
        (-expected, "it points the wrong way: adding it should add the attribute."),
        (having - mu.mean(0), "the second average is over all faces, some of whom have the "
         "attribute; take those without."),
        (mu.mean(0) - lacking, "the first average is over all faces; take those with the "
         "attribute."),
        (expected / expected.norm(), "the direction is right, but keep its length: one step is one "
         "average difference."),
        (those.sum(0) - others.sum(0), "these are sums; where few have an attribute, only means "
         "can be compared."),
        ((signs * mu).mean(0), "both sums are divided by the number of all faces; divide each by "
         "the number of its own."),
        (torch.full((6,), torch.nan), "the result is NaN, as the mean of no faces is. Labels are 0 "
         "and 1; does a condition choose nobody?"),
        (having, "this is the mean code of those with the attribute, and has to be taken minus "
         "the mean code of those without."),
        (lacking, "this is the mean code of those without the attribute; subtract it from the "
         "mean code of those with."),
        (having + lacking, "the two mean codes are added; subtract: with, minus the mean code of "
         "those without."),
        ((having + lacking) / 2, "this is the middle between the two mean codes; their "
         "difference is asked."),
        (having / lacking, "the two mean codes are divided; subtract."),
        (those.median(0).values - others.median(0).values, "these are medians; take means."),
        (mu[labels.long()].mean(0), "mu[labels] takes 0 and 1 for row numbers; choose rows by a "
         "condition, mu[labels > 0]."),
        (mu[labels.long()].mean(0) - lacking, "mu[labels] takes 0 and 1 for row numbers; choose "
         "rows by a condition, mu[labels > 0]."),
        (expected / mu.std(0), "the difference is divided by the standard deviation; leave it as "
         "it is."),
    ]  # fmt: skip
    wrong = compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    habit = ask.habits((mu, labels), (0,))
    return (
        f"{wrong} It is the mean code of those with, minus the mean code of those without."
    ) + habit


@exercise(2, "What is left has nothing in common with the others, and is shorter than before.")
def without(ask: Ask) -> str:
    """``without(direction, others)``: the part of a direction at right angles to all others."""
    direction, *rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).double()
    others = torch.stack(rows)
    others[1] += 1.5 * others[0]  # not at right angles to each other, as real directions are
    found = ask.tensor(direction, others)
    if found.shape != (8,):
        return f"direction has shape (8,), and your result {tuple(found.shape)}; they should agree."
    basis, _ = torch.linalg.qr(others.T)
    along = basis @ (basis.T @ direction)
    unit = others / others.norm(dim=1, keepdim=True)

    def projected(o: Tensor) -> Tensor:
        return (direction @ o) / (o @ o) * o

    in_turn = direction
    for o in others:
        in_turn = in_turn - (in_turn @ o) / (o @ o) * o
    solve = (
        "The others are not at right angles to each other, so that parts taken off one by one "
        "overlap; solve for all of them together (least squares, or torch.linalg.qr)."
    )
    overlap = unit @ found
    worst = int(overlap.abs().argmax())
    left = f"the result still has {float(overlap[worst]):+.2f} along others[{worst}]."
    slips = [
        (along, "this is the part that the others share; subtract it from the direction."),
        (along - direction, "the sign is turned round: subtract the shared part from the "
         "direction."),
        (direction + along, "you add the shared part; subtract it."),
        ((direction - along) / (direction - along).norm(), "it points the right way, but leave its "
         "length as the subtraction gives it."),
        (direction, f"this is the direction itself, with nothing taken off; {left}"),
        (direction - sum(map(projected, others)), f"{left} {solve}"),
        (in_turn, f"{left} {solve}"),
        (direction - sum((direction @ o) * o for o in others), f"{left} A part along o is "
         f"(direction · o) / (o · o) times o: the division is missing. {solve}"),
        (direction - sum((direction @ o) / o.norm() * o for o in others), f"{left} A part along o "
         f"is divided by o · o, the square of its length, not by the length. {solve}"),
        (direction - others.sum(0), f"{left} You subtract the others themselves, not the part "
         "that direction has along them."),
        (direction - others.mean(0), f"{left} You subtract the mean of the others, not the part "
         "that direction has along them."),
        (direction - projected(others.sum(0)), f"{left} You take off the part along the mean of "
         "the others; each of them has to go."),
        (direction - (direction @ unit.T) @ unit, f"{left} {solve}"),
    ]  # fmt: skip
    wrong = compare(found, direction - along, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    habit = ask.habits((direction, others), (0, 1))
    if abs(float(overlap[worst])) > 5e-3:
        return (
            f"{left} At right angles to all of them it would have 0 along each: solve for all "
            "together (least squares, or torch.linalg.qr)."
        ) + habit
    apart = float((found - direction + along).norm())
    return (
        "the result is at right angles to all others, but it is not what is left of the "
        f"direction: it lies {apart:.3g} away from direction minus its part along the others."
    ) + habit
