"""Checks for the course's exercises: each shows one sentence that helps, and returns.

A check never raises, whatever it is given, so that a notebook with unsolved exercises runs to its
end. What it says of a wrong answer is true of that answer: a cause is named only where the numbers
are exactly those that this cause gives; else it says what was expected and what was found.

To add one, write a function that asks the answer and returns what is wrong with it, or an empty
string, and put `@_exercise` over it with its notebook and the sentence that a right answer earns.
In a solution's cell a check is called with ``solution=True``: it then neither praises nor counts.
"""

import dis
import functools
import html
import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

Answer = Callable[..., Any]
Slip = tuple[Any, str]  # what a known mistake gives, and what to say of it

# Borders and tints that can be read on white and on black.
COLOURS = {"solved": "46, 160, 67", "open": "210, 153, 34", "solution": "110, 118, 129"}


@dataclass(frozen=True)
class Verdict:
    """A sentence, in a notebook with a coloured box around it."""

    kind: str
    """``"solved"``, ``"open"`` or ``"solution"``."""
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = COLOURS[self.kind]
        style = (
            f"border-left: 4px solid rgb({colour}); background: rgba({colour}, 0.15); "
            "padding: 0.4em 0.8em; margin: 0.2em 0"
        )
        return f'<div class="vae-{self.kind}" style="{style}">{html.escape(self.text)}</div>'


class _Unsolved(Exception):
    """The answer is the stub."""


class _Fault(Exception):
    """What is wrong, where asking alone found it."""


_exercises: dict[str, int] = {}  # the notebook of each check
_solved: set[str] = set()  # by the learner, since the kernel started


def _exercise(notebook: int, praise: str) -> Callable[[Callable[["_Ask"], str]], Callable]:
    """Make a check of a function that returns what is wrong with an answer."""

    def decorate(judge: Callable[["_Ask"], str]) -> Callable[..., None]:
        name = judge.__name__
        _exercises[name] = notebook

        @functools.wraps(judge)
        def check(answer: Answer, *, solution: bool = False) -> None:
            wrong = _what_is_wrong(judge, answer)
            if not wrong and not solution:
                _solved.add(name)
            kind = "open" if wrong else "solution" if solution else "solved"
            text = wrong or (
                "The solution passes; write your own above." if solution else f"Correct. {praise}"
            )
            those = [other for other, number in _exercises.items() if number == notebook]
            done = len(_solved.intersection(those))
            _show(Verdict(kind, f"{text} ({done} of {len(those)} solved.)"))

        return check

    return decorate


def _show(verdict: Verdict) -> None:
    """A box where IPython runs, which shows text in a terminal; else a line."""
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from IPython.display import display

        display(verdict)
    else:
        print(verdict.text)


def _what_is_wrong(judge: Callable[["_Ask"], str], answer: Answer) -> str:
    """A sentence that begins with "Not", or nothing."""
    if answer is not None and not callable(answer):
        return f"Not yet: give the function itself, not its result ({type(answer).__name__} found)."
    try:
        wrong = judge(_Ask(answer))
    except _Unsolved:
        return "Not solved yet: the function returns None. Replace its last line by your answer."
    except _Fault as fault:
        wrong = str(fault)
    except Exception as error:  # a result of a kind that nobody thought of
        wrong = (
            f"your result could not be compared with what is expected ({_one_line(error)}). Look "
            "at its type and shape."
        )
    return f"Not yet: {wrong}" if wrong else ""


def _computes_nothing(answer: Answer) -> bool:
    """Whether it is a function whose whole body is ``return None``, ``pass`` or a docstring."""
    code = getattr(answer, "__code__", None)
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= idle


class _Ask:
    """The answer, called with watchful eyes: errors, None and changed arguments become faults."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __call__(self, *arguments: Any) -> Any:
        if self.answer is None:
            raise _Unsolved
        before = [a.detach().clone() if isinstance(a, Tensor) else a for a in arguments]
        try:
            value = self.answer(*arguments)
        except (Exception, SystemExit) as error:  # whatever a learner's code can do
            raise _Fault(_why_it_stopped(error)) from error
        if value is None:
            if _computes_nothing(self.answer):
                raise _Unsolved
            plain = all(isinstance(a, bool | int | float) for a in arguments)
            given = f" for {', '.join(map(str, arguments))}" if plain else ""
            raise _Fault(
                f"the function runs, but gives nothing back (None){given}. A function gives back "
                "what stands after `return`; to print a value, or to name it, is not enough."
            )
        for place, (old, new) in enumerate(zip(before, arguments, strict=True)):
            if isinstance(new, Tensor) and not _same(new, old):
                raise _Fault(
                    f"your function changes its argument {self._name(place)} in place, and the "
                    "caller still needs it: write `x = x + 1` and `x.mul(2)`, not `x += 1` or "
                    "`x.mul_(2)`."
                )
        return value

    def tensor(self, *arguments: Any) -> Tensor:
        """The result as a tensor of float64, without its graph."""
        return _tensor(self(*arguments))

    def _name(self, place: int) -> str:
        try:
            return list(inspect.signature(self.answer).parameters)[place]
        except (TypeError, ValueError, IndexError):
            return f"number {place + 1}"

    def habits(self, arguments: Sequence[Any], free: Sequence[int] = ()) -> str:
        """What further calls show, after a blank: chance, or an argument without influence.

        ``free`` are the places of tensors that may hold any numbers.
        """
        found = self.tensor(*arguments)
        if not _same(found, self.tensor(*arguments)):
            return " Two calls with the same arguments give different results; draw nothing here."
        for place in free:
            value, other = arguments[place].detach(), list(arguments)
            waves = torch.arange(value.numel(), dtype=value.dtype).sin().reshape(value.shape)
            other[place] = value * (1 + 0.5 * waves) + 0.05  # in no order, and positive stays so
            if _same(found, self.tensor(*other)):
                return f" It did not change when {self._name(place)} was changed."
        return ""


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text[:200]}" if text else name


def _why_it_stopped(error: BaseException) -> str:
    text = str(error)
    stopped = f"your function stopped with {_one_line(error).rstrip('.')}."
    if "in-place operation" in text:
        return (
            f"{stopped} An operation such as `+=` or `mul_` changes a tensor that gradients are "
            "wanted of; make a new one."
        )
    if "numpy()" in text and "grad" in text:
        return f"{stopped} NumPy carries no gradients; use torch's functions, such as torch.exp."
    if isinstance(error, NameError):
        return f"{stopped} Is it spelt as where it was made, and imported?"
    if isinstance(error, TypeError) and "argument" in text and "positional" in text:
        return f"{stopped} Keep the names and the number of the arguments as the stub has them."
    return f"{stopped} Call it by hand with small numbers and look at the shapes on the way."


def _tensor(value: Any) -> Tensor:
    try:
        exact = None if isinstance(value, Tensor) else torch.float64  # of Python's own numbers
        found = torch.as_tensor(value, dtype=exact).detach().cpu()
    except Exception:  # torch raises what it likes
        kind = type(value).__name__
        raise _Fault(
            f"your function gives a {kind}, and numbers are expected: a tensor, or one number."
        ) from None
    if found.is_complex():
        raise _Fault("your function gives complex numbers, and real ones are expected.")
    return found.double()


def _same(found: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Whether two numbers or tensors have the same shape and nearly the same values, NaN too."""
    found = torch.as_tensor(found).detach().double()
    expected = torch.as_tensor(expected).detach().double()
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )


FACTORS = {
    -1.0: "the sign is turned round.",
    2.0: "the result is twice what it should be.",
    -2.0: "the result is −2 times what it should be: the sign is turned round too.",
    0.5: "the result is half of what it should be.",
    -0.5: "the result is half of what it should be, and the sign is turned round.",
}
OF_LOGARITHMS = {
    2.0: "the result is twice what it should be; the formula begins with ½.",
    -2.0: "the sign is turned round, and the formula begins with ½.",
    1 / math.log(2): "these are bits; nats come from the natural logarithm.",
    1 / math.log(10): "these come from the logarithm to base 10; nats want the natural one.",
}


def _compare(
    found: Tensor,
    expected: Any,
    slips: Iterable[Slip] = (),
    where: str = "for the numbers of this check the result",
    logarithms: bool = False,
) -> str:
    """Nothing if they agree; else the slip that gives these numbers, a factor, or the numbers.

    ``where`` begins the sentence of numbers, and ``logarithms`` are what the result is made of.
    """
    expected = torch.as_tensor(expected).detach().double()
    if _same(found, expected):
        return ""
    for value, sentence in slips:
        # What equals the truth here says nothing.
        if _same(found, value) and not _same(value, expected):
            return sentence
    if found.shape != expected.shape:
        return f"the result has shape {tuple(found.shape)}; expected is {tuple(expected.shape)}."
    finite = found.isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        kind = "NaN" if found.isnan().any() else "infinite"
        some = "the result is" if found.ndim == 0 else f"{bad} of {found.numel()} values are"
        at = int((~finite).flatten().nonzero()[0])
        return f"{some} {kind}; {where} should be {float(expected.flatten()[at]):.4g}."
    large = expected.abs() > 1e-3
    if large.any():
        factor = float((found[large] / expected[large]).mean())
        if _same(found, factor * expected):
            for known, sentence in (FACTORS | OF_LOGARITHMS if logarithms else FACTORS).items():
                if math.isclose(known, factor, rel_tol=1e-3):
                    return sentence
            if int(large.sum()) > 1 and abs(factor) > 1e-3:
                return f"the result is {factor:.4g} times what it should be, everywhere."
    step = float((found - expected).mean())
    if found.numel() > 1 and _same(found - expected, torch.full_like(expected, step)):
        return f"every value is too {'large' if step > 0 else 'small'} by {abs(step):.4g}."
    wrong = ((found - expected).abs() > 1e-4 * (1 + expected.abs())).flatten()
    at = int(wrong.nonzero()[0])
    value, right = float(found.flatten()[at]), float(expected.flatten()[at])
    place = "" if found.numel() == 1 else f", number {at + 1} of {found.numel()},"
    return f"{where}{place} should be {right:.4g}, and yours is {value:.4g}."


# Notebook 1


@_exercise(1, "With both Gaussians equal it gives 0, and it is never negative.")
def gaussian_kl(ask: _Ask) -> str:
    """``gaussian_kl(mu, logvar)``: KL(N(mu, σ²) ‖ N(0, 1)) of each element, nats."""
    mu, logvar = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    found = ask.tensor(mu, logvar)
    variance, sigma = logvar.exp(), torch.exp(0.5 * logvar)
    expected = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0))
    if found.shape != mu.shape:
        return (
            f"mu has shape {tuple(mu.shape)}, and your result {tuple(found.shape)}; give one KL "
            "for each element" + (", and sum nothing, nor average." if found.ndim < 2 else ".")
        )

    def half(*terms: Any) -> Tensor:
        return 0.5 * sum(terms)

    square = mu.square()
    wide = half(square, variance, -1)  # all but the last term
    slips = [
        (half(square, sigma, -1, -logvar), "the variance is exp(logvar), and exp(logvar / 2), the "
         "standard deviation, stands in its place."),
        (half(square, variance.square(), -1, -logvar), "exp(logvar) is the variance already; you "
         "square it once more."),
        (half(square, variance.square(), -1, -2 * logvar), "you take exp(logvar) for the standard "
         "deviation; it is the variance."),
        (half(square, logvar, -1, -logvar.log()), "logvar is the logarithm of the variance, and "
         "you take it for the variance itself, which is exp(logvar). (Half of its values are "
         "negative, so their logarithm is NaN.)"),
        (half(square, logvar, -1, -logvar), "the variance is exp(logvar); logvar itself stands "
         "in its place."),
        (wide + logvar / 2, "the last term is subtracted: − ln σ², which is − logvar."),
        (wide - logvar / 4, "ln σ² is the whole of logvar; half of it is ln σ."),
        (wide - logvar, "½ stands before all terms, before ln σ² too."),
        (wide - logvar.log() / 2, "ln σ² is logvar itself; you take its logarithm once more."),
        (wide - logvar.log2() / 2, "ln σ² is logvar itself; you take its logarithm once more."),
        (half(square, sigma, -1, -logvar / 2), "you take exp(logvar / 2) for the variance; it is "
         "the standard deviation, and the variance is exp(logvar)."),
        (wide - variance.log2() / 2, "ln is the natural logarithm, and your last term is to base "
         "2. ln σ² is given: it is logvar."),
        (wide - variance.log10() / 2, "ln is the natural logarithm, and your last term is to base "
         "10. ln σ² is given: it is logvar."),
        (wide, "the last term, − ln σ², is missing."),
        (half(mu, variance, -1, -logvar), "mu has to be squared."),
        (half(mu.abs(), variance, -1, -logvar), "mu has to be squared; you take its size."),
        (half(variance, -1, -logvar), "the term of mu, μ², is missing."),
        (half(square, -1, -logvar), "the variance, exp(logvar), is missing."),
        (half(-square, variance, -1, -logvar), "μ² is added, not subtracted."),
        (half(square, -variance, -1, -logvar), "the variance is added, not subtracted."),
        (half(square, variance, -logvar), "the − 1 is missing: for mu = 0 and logvar = 0 both "
         "Gaussians are equal, and the KL is 0."),
        (half(square, variance, 1, -logvar), "1 is subtracted, not added: for mu = 0 and logvar = "
         "0 both Gaussians are equal, and the KL is 0."),
        (half(square) + variance - 1 - logvar, "½ stands before all terms, and yours before μ² "
         "alone."),
        (square + half(variance, -1, -logvar), "½ stands before μ² too."),
        (kl_divergence(Normal(0.0, 1.0), Normal(mu, sigma)), "this is the KL the other way round, "
         "of the prior from q; it is not symmetric."),
    ]  # fmt: skip
    wrong = _compare(found, expected, slips, "the KL", logarithms=True)
    if not wrong.startswith("the KL"):
        return wrong
    for some_mu, some_logvar in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        value = ask.tensor(torch.tensor([some_mu]), torch.tensor([some_logvar])).sum()
        right = 0.5 * (some_mu**2 + math.exp(some_logvar) - 1 - some_logvar)
        if not _same(value, right):
            equal = "both Gaussians are equal and " if not (some_mu or some_logvar) else ""
            return (
                f"for mu = {some_mu:g} and logvar = {some_logvar:g} {equal}the KL is {right:.3g}; "
                f"yours is {float(value):.3g}."
            )
    at = int((found - expected).abs().argmax())
    m, s = float(mu.flatten()[at]), float(logvar.flatten()[at])
    habit = ask.habits((mu, logvar), (0, 1))
    return (
        f"for mu = {m:.3g} and logvar = {s:.3g} the KL is {float(expected.flatten()[at]):.4g}, and "
        f"yours is {float(found.flatten()[at]):.4g}."
    ) + habit


@_exercise(1, "The draw moves with mu and sigma, so gradients pass through it.")
def reparameterize(ask: _Ask) -> str:
    """``reparameterize(mu, logvar, noise)``: a draw of N(mu, σ²) made from the noise."""
    draws = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    mu, logvar, noise = (draw.clone() for draw in draws)
    given = mu.requires_grad_(), logvar.requires_grad_(), noise
    value = ask(*given)
    found, again = _tensor(value), ask.tensor(*given)
    m, s = mu.detach(), logvar.detach()
    sigma, variance = torch.exp(0.5 * s), s.exp()
    if found.shape != mu.shape:
        return (
            f"mu has shape {tuple(mu.shape)}, and your result {tuple(found.shape)}; they should "
            "agree."
        )
    slips = [
        (m + variance * noise, "the noise is scaled by the variance; the standard deviation is "
         "exp(logvar / 2)."),
        (m + s * noise, "the noise is scaled by the log-variance; the standard deviation is "
         "exp(logvar / 2)."),
        (m + s.sqrt() * noise, "you take the root of logvar, which is a logarithm: half of its "
         "values are negative, and their root is NaN. The standard deviation is exp(logvar / 2)."),
        (m + s.abs().sqrt() * noise, "you take the root of logvar, which is a logarithm. The "
         "standard deviation is exp(logvar / 2)."),
        (m + s / 2 * noise, "logvar / 2 is the logarithm of the standard deviation; take its exp."),
        (m + variance.square() * noise, "the noise is scaled by the square of the variance; the "
         "standard deviation is exp(logvar / 2)."),
        (m + variance / 2 * noise, "you halve exp(logvar); it is logvar that has to be halved, "
         "before exp."),
        (m + 2 ** (s / 2) * noise, "logvar is a natural logarithm: exp(logvar / 2), not a power "
         "of 2."),
        (m + noise / sigma, "the noise is divided by the standard deviation; multiply."),
        (m + noise, "the noise has to be multiplied by the standard deviation, exp(logvar / 2)."),
        (m - sigma * noise, "the noise is subtracted. That has the same distribution, but the "
         "draw is mean plus standard deviation times noise."),
        (m + sigma + noise, "the standard deviation multiplies the noise; you add it."),
        (m * sigma * noise, "the mean is added to the scaled noise, and not multiplied by it."),
        ((m + noise) * sigma, "the standard deviation multiplies the noise alone, not the mean."),
        (noise + sigma * m, "mu and the noise have changed places: the mean is added as it is."),
        (sigma * noise, "the mean is missing: add mu."),
        (m, "this is the mean alone, without noise: a draw that always gives the same."),
        (m + sigma, "the noise is missing."),
    ]  # fmt: skip
    expected = m + sigma * noise
    if not _same(found, again):
        return "two calls with the same noise differ; use the noise given, draw none."
    wrong = _compare(found, expected, slips)
    if wrong:
        at = int((found - expected).abs().nan_to_num(torch.inf).argmax())
        m, s, e = (float(v.flatten()[at]) for v in (m, s, noise))
        if wrong.startswith("for the numbers"):
            habit = ask.habits(given, (0, 1, 2))
            return (
                f"for mu = {m:.3g}, logvar = {s:.3g} and noise = {e:.3g} the draw is "
                f"{float(expected.flatten()[at]):.4g}, and yours {float(found.flatten()[at]):.4g}. "
                "It is mean plus standard deviation times noise; compare term by term."
            ) + habit
        return wrong
    if not isinstance(value, Tensor):
        return (
            f"the numbers are right, but they are a {type(value).__name__}, which carries no "
            "gradient; compute with tensors from beginning to end."
        )
    if not value.requires_grad:
        return "the numbers are right, but no gradient reaches mu; leave detach and no_grad out."
    value.sum().backward()
    cut = [name for name, v in (("mu", mu), ("logvar", logvar)) if v.grad is None]
    if cut:
        return f"the numbers are right, but the gradient is cut off on its way to {cut[0]}."
    for name, slope, right in (
        ("mu", mu.grad, torch.ones_like(m)),
        ("logvar", logvar.grad, sigma * noise / 2),
    ):
        if not _same(slope, right):
            return (
                f"the numbers are right, but the gradient of {name} begins with "
                f"{float(slope.flatten()[0]):.3g} instead of {float(right.flatten()[0]):.3g}."
            )
    return ""


@_exercise(1, "No flatten size has to be typed into a model any more.")
def conv_size(ask: _Ask) -> str:
    """``conv_size(size, kernel, stride, padding)``: pixels along one side after a conv layer."""
    cases = [
        (64, 4, 2, 1),
        (64, 3, 1, 1),
        (65, 3, 2, 1),
        (28, 5, 3, 0),
        (7, 4, 2, 1),
        (32, 5, 2, 2),
    ]
    expected = [
        torch.nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, n, n)).shape[-1]
        for n, kernel, stride, padding in cases
    ]
    values = [ask(*case) for case in cases]
    found = [_tensor(value) for value in values]
    odd = next((value for value in found if value.numel() != 1), None)
    if odd is not None:
        return f"the size is one whole number; yours has shape {tuple(odd.shape)}."
    found = [float(value) for value in found]
    if found == expected:
        for value in values:
            try:
                operator.index(value)
            except TypeError:
                return (
                    f"the number is right, but it is a {type(value).__name__}; use // for an int."
                )
            if isinstance(value, Tensor):
                return "the number is right, but it is a Tensor; a size is an int."
        return ""
    slips = [
        (lambda n, k, s, p: (n + 2 * p - k) / s + 1, "Round down: // gives an int."),
        (lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1, "Round down, not up."),
        (lambda n, k, s, p: round((n + 2 * p - k) / s) + 1, "Round down, not to the nearest."),
        (lambda n, k, s, p: (n + 2 * p - k) // s, "The + 1 is missing."),
        (lambda n, k, s, p: (n + 2 * p - k) / s, "The + 1 is missing; and round down with //."),
        (lambda n, k, s, p: (n + 2 * p - k + 1) // s, "The + 1 comes after the division."),
        (lambda n, k, s, p: (n + 2 * p - k) // (s + 1), "The + 1 comes after the division."),
        (lambda n, k, s, p: (n + p - k) // s + 1, "There is padding on both sides: 2 p."),
        (lambda n, k, s, p: (n - k) // s + 1, "The padding is missing: + 2 p."),
        (lambda n, k, s, p: (n - 2 * p - k) // s + 1, "Padding adds pixels: + 2 p."),
        (lambda n, k, s, p: (n + 2 * p + k) // s + 1, "The kernel is subtracted."),
        (lambda n, k, s, p: (n + 2 * p) // s + 1, "The kernel is missing: − k."),
        (lambda n, k, s, p: n + 2 * p - k + 1, "The stride is missing: divide by s."),
        (lambda n, k, s, p: (n + 2 * p - k) * s + 1, "Divide by the stride."),
        (lambda n, k, s, p: n + (2 * p - k) // s + 1, "Divide n too: brackets around n + 2 p − k."),
        (lambda n, k, s, p: n + 2 * p - k // s + 1, "Brackets are missing around n + 2 p − k."),
        (lambda n, k, s, p: (n - 1) * s - 2 * p + k, "This is a transposed convolution's size."),
        (lambda n, k, s, p: n // s, "Kernel and padding are missing."),
    ]
    hint = next((f" {said}" for f, said in slips if found == [f(*case) for case in cases]), "")
    value, right, case = next(t for t in zip(found, expected, cases, strict=True) if t[0] != t[1])
    return (
        "{} pixels with kernel {}, stride {} and padding {} give ".format(*case)
        + f"{right}, and your function says {value:g}.{hint}"
    )


@_exercise(1, "Now a β from anywhere can be read in this course's units.")
def effective_beta(ask: _Ask) -> str:
    """``effective_beta(weight, pixels, dimensions, average_pixels, average_dimensions)``."""
    places = [(False, False), (True, False), (False, True), (True, True)]
    settings = [(0.5, 12_288, 128), (2.0, 784, 5)]
    found, cases = [], [(*given, *place) for given in settings for place in places]
    for case in cases:
        value = ask.tensor(*case)
        if value.numel() != 1:
            return f"β is one number; yours has shape {tuple(value.shape)}."
        found.append(float(value))

    def agree(formula: Callable[..., float]) -> bool:
        right = (formula(*case) for case in cases)
        return all(math.isclose(f, r, rel_tol=1e-6) for f, r in zip(found, right, strict=True))

    if agree(lambda w, n, d, over_n, over_d: w * (n if over_n else 1) / (d if over_d else 1)):
        return ""
    slips = [
        (lambda w, n, d, over_n, over_d: w / (n if over_n else 1) * (d if over_d else 1),
         "Both effects are turned round."),
        (lambda w, n, d, over_n, over_d: w * (n if over_n else d if over_d else 1),
         "Averaging over the dimensions divides, and where both are averaged both effects count."),
        (lambda w, n, d, over_n, over_d: w * n if over_n else w / d if over_d else w,
         "Where both are averaged, both effects count; yours stops at the first."),
        (lambda w, n, d, over_n, over_d: w / d if over_d else w * n if over_n else w,
         "Where both are averaged, both effects count; yours stops at the second."),
        (lambda w, n, d, over_n, over_d: w * n / d if over_n and over_d else w,
         "Each average alone has its effect too."),
        (lambda w, n, d, over_n, over_d: w * (d if over_n else 1) / (n if over_d else 1),
         "pixels and dimensions have changed places."),
        (lambda w, n, d, over_n, over_d: (n if over_n else 1) / (d if over_d else 1),
         "The weight is missing."),
    ]  # fmt: skip
    hint = next((f" {said}" for formula, said in slips if agree(formula)), "")
    for value, (w, n, d, over_n, over_d) in zip(found, cases, strict=True):
        right = w * (n if over_n else 1) / (d if over_d else 1)
        if not math.isclose(value, right, rel_tol=1e-6):
            case = {
                (False, False): "With sums in both places the weight is β itself",
                (True, False): "Dividing the reconstruction by the pixels is, up to the scale of "
                "the whole loss, multiplying the KL by them",
                (False, True): "Averaging the KL over the dimensions divides it",
                (True, True): "The two effects multiply",
            }[over_n, over_d]
            return (
                f"for weight {w:g}, {n:,} pixel values, {d} dimensions, average_pixels={over_n} "
                f"and average_dimensions={over_d} your function says {value:g}. {case}: "
                f"{right:g}.{hint}"
            )
    return ""


@_exercise(1, "No single picture costs fewer nats, and it looks like none of them.")
def best_guess(ask: _Ask) -> str:
    """``best_guess(images)``: the picture with the smallest mean cross-entropy to all of them."""
    images = torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    images = images.square()  # a skewed distribution, whose mean and median differ
    found = ask.tensor(images)
    if found.shape != images.shape[1:]:
        return (
            f"the images have shape (9, 3, 4, 4), and your guess {tuple(found.shape)}; one picture "
            "of shape (3, 4, 4) has to do for all nine: only dimension 0 goes."
        )
    derive = "Set the derivative of the mean cross-entropy to zero."
    slips = [
        (images.median(0).values, f"this is the median, which is best for the sum of absolute "
         f"errors. {derive}"),
        (images.sum(0), "this is the sum; divide it by the number of images."),
        (images.sum(0) / 8, "you divide the sum by n − 1; there are n images."),
        (images.log().mean(0).exp(), f"this is the geometric mean. {derive}"),
        (torch.logit(images).mean(0).sigmoid(), f"you average logits and not pixels. {derive}"),
        (images.square().mean(0).sqrt(), f"this is the root of the mean square. {derive}"),
        ((images.amax(0) + images.amin(0)) / 2, f"this is the middle between the largest and the "
         f"smallest value. {derive}"),
        (images.mean().expand(3, 4, 4), "this is one grey for all pixels; each pixel has a mean of "
         "its own."),
        *((image, "this is one of the images; it is perfect for itself and expensive for the "
           "others.") for image in images),
    ]  # fmt: skip
    wrong = _compare(found, images.mean(0), slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    if (found < 0).any() or (found > 1).any():
        return (
            f"your picture has values from {float(found.min()):.3g} to {float(found.max()):.3g}; "
            f"pixels lie in [0, 1]. {derive}"
        )

    def cost(guess: Tensor) -> float:
        guess = guess.clamp(1e-6, 1 - 1e-6)
        nats = -images * guess.log() - (1 - images) * (1 - guess).log()
        return float(nats.sum((1, 2, 3)).mean())

    costs = cost(found), cost(images.mean(0))
    if costs[0] - costs[1] < 0.01:
        return f"{wrong} {derive}" + ask.habits((images,), (0,))
    return (
        f"your picture costs {costs[0]:.2f} nats on average, and another only {costs[1]:.2f}. "
        f"{derive}"
    ) + ask.habits((images,), (0,))


# Notebook 2


@_exercise(2, "It looks at pattern, not only at distance, as a blurred and a brighter face show.")
def structural_similarity(ask: _Ask) -> str:
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
    if any(_same(torch.stack(found), of_both(lambda m, k, v, w, s: first(m, k) * second(v, w, s),
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
            if _same(both, of_both(formula, correction)):
                return sentence
    for formula, sentence in (
        (lambda m, k, v, w, s: first(m, k) * second(v * more, w * more, s),
         "your variances are divided by n − 1, which is what var does by itself, and your "
         "covariance by n. Divide both by n: x.var(correction=0)."),
        (lambda m, k, v, w, s: first(m, k) * second(v, w, s * more),
         "your covariance is divided by n − 1, and your variances by n. Divide both by n."),
    ):  # fmt: skip
        if _same(both, of_both(formula)):
            return sentence
    own = ask.tensor(x, x)
    if not _same(own, 1.0):
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
    at = 0 if not _same(both[0], right[0]) else 1
    habit = ask.habits((x, y), (0, 1))
    return (
        "equal pictures give 1, as they should. For two others"
        + (" that are dark" if at else "")
        + f" the formula gives {float(right[at]):.4f}, and yours {float(both[at]):.4f}. The second "
        "factor has the covariance above and the two variances (squares of std) below."
    ) + habit


@_exercise(2, "Noise within posteriors and distance between faces together fill the prior.")
def aggregate_variance(ask: _Ask) -> str:
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
        if _same(found, between + within):
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
    wrong = _compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    return f"{wrong} {law}" + ask.habits((mu, logvar), (0, 1))


@_exercise(2, "Between two codes of one length it keeps that length all the way.")
def spherical(ask: _Ask) -> str:
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
        if _same(found, value) and not _same(value, arc(0.3)):
            return sentence
    ends = ask.tensor(u, v, 0.0), ask.tensor(u, v, 1.0)
    if not _same(ends[0], u) or not _same(ends[1], v):
        wrong = next(t for t, end, right in zip("01", ends, (u, v), strict=True)
                     if not _same(end, right))  # fmt: skip
        return (
            "t = 0 should give a, and t = 1 should give b; yours does something else for "
            f"t = {wrong}."
        )
    if not _same(found, arc(0.3)):
        aside = found - (found @ u) * u - (found @ across) * across
        if _same(aside.norm(), 0.0) and _same(found.norm(), 1.0):
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
    if _same(longer, expected):
        return ""
    if _same(longer, arc(0.3)):
        return (
            "right for codes of length 1. Of others only the angle is taken between codes brought "
            "to length 1; the sum is of a and b themselves."
        )
    return (
        "right for codes of length 1. For others the angle is the arccosine of their dot "
        "product divided by both lengths."
    )


@_exercise(2, "One step along it leads from the average face without to the average face with.")
def attribute_direction(ask: _Ask) -> str:
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
    wrong = _compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    habit = ask.habits((mu, labels), (0,))
    return (
        f"{wrong} It is the mean code of those with, minus the mean code of those without."
    ) + habit


@_exercise(2, "What is left has nothing in common with the others, and is shorter than before.")
def without(ask: _Ask) -> str:
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
    wrong = _compare(found, direction - along, slips)
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


# Notebook 3


@_exercise(3, "A dimension is bought at all only where its variance is above the price.")
def bought_rate(ask: _Ask) -> str:
    """``bought_rate(variances, beta)``: nats of KL in each dimension of the best linear VAE."""
    variances = torch.tensor([40.0, 9.0, 4.5, 1.5, 0.2], dtype=torch.float64)
    betas = (1.0, 4.0)
    found = [ask.tensor(variances, beta) for beta in betas]
    for value in found:
        if value.shape != (5,):
            return (
                f"5 variances have 5 rates; yours has shape {tuple(value.shape)}. Sum nothing, "
                "and leave none out: what is not bought has rate 0."
            )

    def at_both(formula: Callable[[Tensor, float], Tensor]) -> Tensor:
        return torch.stack([formula(variances, beta) for beta in betas])

    def above(values: Tensor) -> Tensor:
        return values.clamp(min=0)

    negative = (
        "right where the variance is above the price. Below it the formula goes negative, "
        "and a KL cannot: nothing is bought there."
    )
    slips = [
        (lambda x, b: (x / b).log() / 2, negative),
        (lambda x, b: ((x / b).log() / 2).abs(), "right where the variance is above the price. "
         "Below it nothing is bought: the rate is 0, not the size of the logarithm."),
        (lambda x, b: above((x / b).log2() / 2), "these are bits; nats come from the natural "
         "logarithm."),
        (lambda x, b: (x / b).log2() / 2, "these are bits, and below the price they go negative; "
         "nats come from the natural logarithm, and there nothing is bought."),
        (lambda x, b: (x / b).log(), "every rate is twice what it should be (the formula begins "
         "with ½), and below the price it goes negative, where nothing is bought."),
        (lambda x, b: above(x.log() / 2), "β is missing: the rate is that of β = 1 whatever the "
         "price."),
        (lambda x, b: x.log() / 2, "β is missing; and below the price the rate is 0, not "
         "negative."),
        (lambda x, b: above((x * b).log() / 2), "the variance is divided by β, not multiplied."),
        (lambda x, b: above((b / x).log() / 2), "the fraction is turned round: λ / β."),
        (lambda x, b: (b / x).log() / 2, "the fraction is turned round: λ / β; and where nothing "
         "is bought the rate is 0."),
        (lambda x, b: x.log() / 2 / b, "β divides the variance within the logarithm, not the rate; "
         "and where nothing is bought the rate is 0."),
        (lambda x, b: (x - b).log() / 2, "the variance is divided by β; you subtract it. (Below "
         "the price that is negative, and the logarithm NaN.)"),
        (lambda x, b: b * above((x / b).log() / 2), "the rate is asked, and not what it costs, β "
         "times the rate."),
        (lambda x, b: (1 + x / b).log() / 2, "this is ½ ln(1 + λ / β); the 1 does not belong "
         "there."),
        (lambda x, b: above(x.log() / 2 - b), "β divides the variance within the logarithm."),
        (lambda x, b: above(x.log() / 2 - b.log() if isinstance(b, Tensor)
                            else x.log() / 2 - math.log(b)), "½ stands before ln β too."),
        (lambda x, b: above(x.log() / 2 / b), "β divides the variance within the logarithm, not "
         "the rate."),
        (lambda x, b: above(x.log() / 2) / b, "β divides the variance within the logarithm, not "
         "the rate."),
        (lambda x, b: above((x - b).clamp(min=1).log() / 2), "the variance is divided by β; you "
         "subtract it."),
        (lambda x, b: (b / x).clamp(max=1), "this is v, the posterior variance; the rate is "
         "−½ ln v."),
        (lambda x, b: (b / x).clamp(max=1) * x / 2, "this is the distortion; the rate is asked."),
        (lambda x, b: torch.where(x > b, (x / b).log() / 2, torch.ones_like(x)), "below the price "
         "v is 1 and the rate is 0; yours is 1 there."),
        (lambda x, b: torch.where(x > b, (x / b).log() / 2, x), "below the price the rate is 0."),
        (lambda x, b: torch.where(x > 1, (x / b).log() / 2, torch.zeros_like(x)), "nothing is "
         "bought where the variance is below β; you compare it with 1."),
    ]  # fmt: skip
    expected = at_both(lambda x, b: above((x / b).log() / 2))
    made = [(at_both(formula), sentence) for formula, sentence in slips]
    wrong = _compare(torch.stack(found), expected, made, logarithms=True)
    if not wrong or not wrong.startswith("for the numbers"):
        return wrong
    place = 0 if not _same(found[0], expected[0]) else 1
    habit = ask.habits((variances, betas[place]), (0,))
    return (
        f"for variances {variances.tolist()} and β = {betas[place]:g} the rates are "
        f"{_listed(expected[place])}, and yours {_listed(found[place])}."
    ) + habit


def _listed(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


@_exercise(3, "Between two neighbouring optima it has to lie between their two β.")
def exchange_rate(ask: _Ask) -> str:
    """``exchange_rate(rates, distortions)``: nats of distortion for each nat of rate saved."""
    rates = torch.tensor([50.0, 30.0, 22.0, 21.0], dtype=torch.float64)
    distortions = torch.tensor([10.0, 40.0, 80.0, 89.0], dtype=torch.float64)
    found = ask.tensor(rates, distortions)
    if found.shape != (3,):
        return (
            f"4 settings have 3 pairs of neighbours; yours has shape {tuple(found.shape)}. "
            "Take differences of neighbours, for instance with torch.diff."
        )
    saved, paid = -rates.diff(), distortions.diff()
    expected = paid / saved
    inverse = "this is the rate for each nat of distortion; the question is the other way round."
    slips = [
        (-expected, "the sign is turned round: the rate *saved* is the first minus the second."),
        (saved / paid, inverse),
        (-saved / paid, inverse),
        (paid - saved, "divide the distortion paid by the rate saved; you subtract."),
        (paid * saved, "divide the distortion paid by the rate saved; you multiply."),
        ((distortions[1:] - distortions[0]) / (rates[0] - rates[1:]), "each pair is of neighbours; "
         "you compare every setting with the first."),
        (distortions[1:] / rates[1:], "differences of neighbours are divided, not the values."),
        (distortions[:-1] / rates[:-1], "differences of neighbours are divided, not the values."),
        (expected.flip(0), "the numbers are right and their order is turned round."),
        ((distortions / rates).diff(), "take the differences first and divide afterwards."),
        (distortions[1:] / saved, "above stands the difference of two distortions, not one of "
         "them."),
        (paid / rates[1:], "below stands the difference of two rates, not one of them."),
        (paid / rates[:-1], "below stands the difference of two rates, not one of them."),
    ]  # fmt: skip
    wrong = _compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    at = int((found - expected).abs().gt(1e-3).nonzero()[0])
    one, two, d, e = (float(v) for v in (*rates[at : at + 2], *distortions[at : at + 2]))
    habit = ask.habits((rates, distortions), (0, 1))
    return (
        f"rates {one:g} → {two:g} and distortions {d:g} → {e:g} are {e - d:g} nats of distortion "
        f"for {one - two:g} nats of rate saved: {float(expected[at]):g}, and yours says "
        f"{float(found[at]):.3g}."
    ) + habit


@_exercise(3, "It needs no threshold, and no scale of the dimension either.")
def roc_auc(ask: _Ask) -> str:
    """``roc_auc(values, labels)``: how often a random positive lies above a random negative."""
    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(60, generator=generator) * 3).round().double()  # with ties
    labels = (torch.arange(60) % 4 == 0).double()
    values += 2 * labels
    found = ask.tensor(values, labels)
    if found.shape != ():
        return f"the area is one number; yours has shape {tuple(found.shape)}."
    below = ask.tensor(-values, labels)  # a dimension that points the other way
    above = values[labels > 0][:, None] - values[labels == 0]
    pairs, everybody = above.numel(), len(values)
    strictly, ties = (above > 0).double().mean(), (above == 0).double().mean()
    expected = strictly + ties / 2
    said = float(found)
    slips = [
        (1 - expected, "this counts the negatives that lie above; it is the positives' turn."),
        (1 - strictly - ties, "this counts the negatives that lie above; it is the positives' "
         "turn."),
        (1 - strictly, "this counts the negatives that lie above or level; it is the positives' "
         "turn, and equal values count as half."),
        (strictly, "pairs of equal values count as half; yours leaves them out."),
        (strictly + ties, "pairs of equal values count as half; yours counts them whole."),
        (strictly / (1 - ties), "pairs of equal values count as half a win; you leave such pairs "
         "out altogether."),
        (expected * pairs, "this is the number of wins; divide it by the number of pairs."),
        (strictly * pairs, "this is the number of wins without ties; divide it by the number of "
         "pairs, and count ties as half."),
        (expected * pairs / everybody**2, "the number of wins is divided by the number of all "
         "faces squared; divide it by that of pairs, positives times negatives."),
        (2 * expected - 1, "this is wins minus losses; the area counts wins, from 0 to 1."),
        (strictly - ties / 2, "a tie counts as half a win, and not as half a loss."),
    ]  # fmt: skip
    where = (
        "take every pair of a value with label 1 and a value with label 0, and count how often the "
        "former is larger: the share"
    )
    for value, sentence in slips:
        if _same(found, value) and not _same(value, expected):
            return sentence
    if not found.isfinite():
        return f"the result is {said:g}; {where} is {float(expected):.3f} here."
    if _same(found, expected):
        if _same(below, 1 - expected):
            return ""
        if _same(below, expected):
            return (
                "a dimension that points the other way has an area below ½: here "
                f"{float(1 - expected):.3f}, and yours says {float(below):.3f}. Turn nothing round."
            )
        return f"{where} is {float(1 - expected):.3f} for −values; yours says {float(below):.3g}."
    return f"{where} is {float(expected):.3f} here; yours says {said:.3g}." + ask.habits(
        (values, labels), (0,)
    )


@_exercise(3, "It is 0 for independent columns, and at most the smaller of the two entropies.")
def information(ask: _Ask) -> str:
    """``information(counts)``: mutual information, nats, of a table of counts."""
    counts = torch.tensor([[30, 5, 0], [10, 10, 5], [0, 5, 35]], dtype=torch.float64)
    entr = torch.special.entr  # −p ln p

    def mutual(table: Tensor) -> Tensor:
        p = table / table.sum()
        return entr(p.sum(1)).sum() + entr(p.sum(0)).sum() - entr(p).sum()

    found, expected, total = ask.tensor(counts), mutual(counts), counts.sum()
    if found.shape != ():
        return f"a table has one mutual information; yours has shape {tuple(found.shape)}."
    p = counts / total
    rows, columns = p.sum(1), p.sum(0)
    of_rows, of_columns, of_both = entr(rows).sum(), entr(columns).sum(), entr(p).sum()
    seen = p > 0
    ratio = (p / (rows[:, None] * columns))[seen]
    raw = counts[seen] / (counts.sum(1, keepdim=True) * counts.sum(0))[seen]
    slips = [
        (expected / math.log(2), "this is in bits; the natural logarithm gives nats."),
        (expected / math.log(10), "this comes from the logarithm to base 10; the natural one gives "
         "nats."),
        (-expected, "the sign is turned round; mutual information is never negative."),
        (expected * total, "divide the counts by their sum first; the formula is about "
         "probabilities."),
        ((counts[seen] * raw.log()).sum(), "divide the counts by their sum first; the formula is "
         "about probabilities."),
        ((p[seen] * raw.log()).sum(), "divide the counts by their sum before the logarithm too."),
        (of_both, "this is the entropy of the table; compare it with that of independent columns."),
        ((p[seen] * p[seen].log()).sum(), "this is minus the entropy of the table; the product of "
         "the two margins is missing."),
        (of_rows + of_columns, "these are the entropies of rows and columns together; subtract "
         "that of the table."),
        (of_rows, "this is the entropy of the rows alone."),
        (of_columns, "this is the entropy of the columns alone."),
        (of_both - of_rows, "this is what rows do not tell of columns, the conditional entropy; "
         "subtract it from the entropy of the columns."),
        (of_both - of_columns, "this is what columns do not tell of rows, the conditional entropy; "
         "subtract it from the entropy of the rows."),
        (ratio.log().sum(), "each logarithm has to be weighed by p(z, v)."),
        (ratio.log().mean(), "each logarithm has to be weighed by p(z, v), and the products "
         "summed."),
        ((p[seen] * ratio.log()).mean(), "this is a mean over cells; sum over them."),
        ((p[seen] * ratio.log()).sum() / counts.numel(), "this is a mean over cells; sum over "
         "them."),
        ((p[seen] * ratio).sum(), "the logarithm is missing."),
        ((p[seen] * (p / rows[:, None])[seen].log()).sum(), "below stands the product of both "
         "margins; yours has that of the rows alone."),
        ((p[seen] * (p / columns)[seen].log()).sum(), "below stands the product of both margins; "
         "yours has that of the columns alone."),
        (expected / torch.minimum(of_rows, of_columns), "this is divided by an entropy; leave it "
         "in nats."),
        (expected / (of_rows * of_columns).sqrt(), "this is divided by an entropy; leave it in "
         "nats."),
        (2 * expected / (of_rows + of_columns), "this is divided by an entropy; leave it in nats."),
        (expected / of_rows, "this is divided by an entropy; leave it in nats."),
        (expected / of_columns, "this is divided by an entropy; leave it in nats."),
    ]  # fmt: skip
    if found.isnan():
        full = counts + 1
        if _same(ask.tensor(full), mutual(full)):
            return (
                "the result is NaN: empty cells give 0 · log 0. Leave them out; they add nothing."
            )
        return (
            f"the result is NaN, and should be {float(expected):.4f}. Empty cells give 0 · log 0, "
            "which is NaN, and have to be left out; here they are not the only fault."
        )
    wrong = _compare(found, expected, slips, logarithms=True)
    if not wrong.startswith("for the numbers"):
        return wrong
    habit = ask.habits((counts,))
    return (
        f"for rows {counts.int().tolist()} it is {float(expected):.4f} nats, and yours says "
        f"{float(found):.4g}. The table of independent columns is the product of the two margins."
    ) + habit


@_exercise(3, "Averaged over the factors this is MIG.")
def information_gap(ask: _Ask) -> str:
    """``information_gap(matrix, entropies)``: MIG's term for each factor."""
    matrix = torch.tensor(
        [[1.5, 0.2, 0.05], [0.3, 0.1, 0.4], [0.1, 0.6, 0.4], [0.02, 0.04, 0.1]], dtype=torch.float64
    )  # 4 dimensions, 3 factors
    entropies = torch.tensor([3.0, 2.0, 0.5], dtype=torch.float64)
    found = ask.tensor(matrix, entropies)
    if found.shape != (3,):
        return (
            "the matrix has 4 rows, dimensions, and 3 columns, factors; yours has shape "
            f"{tuple(found.shape)}. Give one gap for each factor."
        )
    best, second, third, last = matrix.sort(0, descending=True).values
    gap = best - second
    expected = gap / entropies
    slips = [
        (best / entropies, "this is the best dimension's share; subtract what the second best "
         "knows."),
        (second / entropies, "this is the second best dimension's share; subtract it from the "
         "best's."),
        (gap, "these are nats; divide each by the entropy of its factor."),
        (-expected, "the sign is turned round; the best comes first."),
        (-gap, "the sign is turned round, and each has to be divided by the entropy of its "
         "factor."),
        (gap * entropies, "divide by the entropies; you multiply."),
        (gap / entropies.sum(), "each gap is divided by the entropy of its own factor, not by the "
         "sum of all."),
        (gap / entropies.mean(), "each gap is divided by the entropy of its own factor, not by "
         "their mean."),
        (gap / entropies.max(), "each gap is divided by the entropy of its own factor, not by the "
         "largest."),
        (gap / best, "this is a share of the best entry; divide by the entropy of the factor."),
        ((best - last) / entropies, "this subtracts the smallest entry; subtract the second best."),
        ((best - third) / entropies, "this subtracts the third best entry; subtract the second."),
        ((best - matrix.mean(0)) / entropies, "this subtracts the mean of the column; subtract the "
         "second best entry."),
        ((best - (matrix.sum(0) - best) / 3) / entropies, "this subtracts the mean of the other "
         "entries; subtract the second best."),
        ((second - third) / entropies, "this is the second best minus the third; begin with the "
         "best."),
        ((last - third) / entropies, "these are the two smallest entries of each column; take the "
         "two largest, in descending order."),
        ((third - last) / entropies, "these are the two smallest entries of each column; take the "
         "two largest, in descending order."),
        (best - second / entropies, "both entries are divided by the entropy; brackets are "
         "missing."),
        ((matrix[0] - matrix[1]) / entropies, "these are the first two rows; take of each column "
         "the largest entry and the second largest, wherever they stand."),
    ]  # fmt: skip
    wrong = _compare(found, expected, slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    habit = ask.habits((matrix, entropies), (0, 1))
    return (
        f"the gaps here are {_listed(expected)}, and yours {_listed(found)}: of each column the "
        "largest entry minus the second largest, as a share of the entropy."
    ) + habit
