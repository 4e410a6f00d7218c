"""Checks of the exercises in notebook 3."""

import math

import torch
from torch import Tensor

from vae_lib.course.checks.verdicts import Ask, compare, exercise, known_slip, listed, same


@exercise(3, "A dimension is bought at all only where its variance is above the price.")
def bought_rate(ask: Ask) -> str:
    """``bought_rate(variances, beta)``: nats of KL in each dimension of the best linear VAE."""
    variances = torch.tensor([40.0, 9.0, 4.5, 1.5, 0.2], dtype=torch.float64)
    betas = (1.0, 4.0)
    answers = [ask.tensor(variances, beta) for beta in betas]
    odd = next((answer for answer in answers if answer.shape != (5,)), None)
    if odd is not None:
        return (
            f"5 variances have 5 rates; yours has shape {tuple(odd.shape)}. Sum nothing, "
            "and leave none out: what is not bought has rate 0."
        )

    def above(values: Tensor) -> Tensor:
        return values.clamp(min=0)

    found, b = torch.stack(answers), torch.tensor(betas).double()[:, None]
    x = variances.expand_as(found)
    rate, v = (x / b).log() / 2, (b / x).clamp(max=1)
    expected = above(rate)
    slips = [
        (rate, "right where the variance is above the price. Below it the formula goes negative, "
         "and a KL cannot: nothing is bought there."),
        (rate.abs(), "right where the variance is above the price. Below it nothing is bought: the "
         "rate is 0, not the size of the logarithm."),
        (above(rate) / math.log(2), "these are bits; nats come from the natural logarithm."),
        (rate / math.log(2), "these are bits, and below the price they go negative; nats come from "
         "the natural logarithm, and there nothing is bought."),
        (2 * rate, "every rate is twice what it should be (the formula begins with ½), and below "
         "the price it goes negative, where nothing is bought."),
        (above(x.log() / 2), "β is missing: the rate is that of β = 1 whatever the price."),
        (x.log() / 2, "β is missing; and below the price the rate is 0, not negative."),
        (above((x * b).log() / 2), "the variance is divided by β, not multiplied."),
        (above(-rate), "the fraction is turned round: λ / β."),
        (-rate, "the fraction is turned round: λ / β; and where nothing is bought the rate is 0."),
        (x.log() / 2 / b, "β divides the variance within the logarithm, not the rate; and where "
         "nothing is bought the rate is 0."),
        ((x - b).log() / 2, "the variance is divided by β; you subtract it. (Below the price that "
         "is negative, and the logarithm NaN.)"),
        (b * above(rate), "the rate is asked, and not what it costs, β times the rate."),
        ((1 + x / b).log() / 2, "this is ½ ln(1 + λ / β); the 1 does not belong there."),
        (above(x.log() / 2 - b), "β divides the variance within the logarithm."),
        (above(x.log() / 2 - b.log()), "½ stands before ln β too."),
        (above(x.log() / 2) / b, "β divides the variance within the logarithm, not the rate."),
        (above((x - b).clamp(min=1).log() / 2), "the variance is divided by β; you subtract it."),
        (v, "this is v, the posterior variance; the rate is −½ ln v."),
        (v * x / 2, "this is the distortion; the rate is asked."),
        (rate.where(x > b, 1), "below the price v is 1 and the rate is 0; yours is 1 there."),
        (rate.where(x > b, x), "below the price the rate is 0."),
        (rate.where(x > 1, 0), "nothing is bought where the variance is below β; you compare it "
         "with 1."),
    ]  # fmt: skip

    def numbers() -> str:
        at = 0 if not same(found[0], expected[0]) else 1
        return (
            f"for variances {variances.tolist()} and β = {betas[at]:g} the rates are "
            f"{listed(expected[at])}, and yours {listed(found[at])}."
        ) + ask.habits((variances, betas[at]), (0,))

    return compare(found, expected, slips, logarithms=True, otherwise=numbers)


@exercise(3, "Between two neighbouring optima it has to lie between their two β.")
def exchange_rate(ask: Ask) -> str:
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
    slips = [
        (-expected, "the sign is turned round: the rate *saved* is the first minus the second."),
        (saved / paid, -saved / paid, "this is the rate for each nat of distortion; the question "
         "is the other way round."),
        (paid - saved, "divide the distortion paid by the rate saved; you subtract."),
        (paid * saved, "divide the distortion paid by the rate saved; you multiply."),
        ((distortions[1:] - distortions[0]) / (rates[0] - rates[1:]), "each pair is of neighbours; "
         "you compare every setting with the first."),
        (distortions[1:] / rates[1:], distortions[:-1] / rates[:-1], "differences of neighbours "
         "are divided, not the values."),
        (expected.flip(0), "the numbers are right and their order is turned round."),
        ((distortions / rates).diff(), "take the differences first and divide afterwards."),
        (distortions[1:] / saved, "above stands the difference of two distortions, not one of "
         "them."),
        (paid / rates[1:], paid / rates[:-1], "below stands the difference of two rates, not one "
         "of them."),
    ]  # fmt: skip

    def numbers() -> str:
        at = int((found - expected).abs().gt(1e-3).nonzero()[0])
        one, two, d, e = (*rates[at : at + 2].tolist(), *distortions[at : at + 2].tolist())
        return (
            f"rates {one:g} → {two:g} and distortions {d:g} → {e:g} are {e - d:g} nats of "
            f"distortion for {one - two:g} nats of rate saved: {float(expected[at]):g}, and yours "
            f"says {float(found[at]):.3g}."
        ) + ask.habits((rates, distortions), (0, 1))

    return compare(found, expected, slips, otherwise=numbers)


@exercise(3, "It needs no threshold, and no scale of the dimension either.")
def roc_auc(ask: Ask) -> str:
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
        (1 - expected, 1 - strictly - ties, "this counts the negatives that lie above; it is the "
         "positives' turn."),
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
    if known := known_slip(found, expected, slips):
        return known
    if not found.isfinite():
        return f"the result is {said:g}; {where} is {float(expected):.3f} here."
    if same(found, expected):
        if same(below, 1 - expected):
            return ""
        if same(below, expected):
            return (
                "a dimension that points the other way has an area below ½: here "
                f"{float(1 - expected):.3f}, and yours says {float(below):.3f}. Turn nothing round."
            )
        return f"{where} is {float(1 - expected):.3f} for −values; yours says {float(below):.3g}."
    return f"{where} is {float(expected):.3f} here; yours says {said:.3g}." + ask.habits(
        (values, labels), (0,)
    )


@exercise(3, "It is 0 for independent columns, and at most the smaller of the two entropies.")
def information(ask: Ask) -> str:
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
        (expected * total, (counts[seen] * raw.log()).sum(), "divide the counts by their sum "
         "first; the formula is about probabilities."),
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
        ((p[seen] * ratio.log()).mean(), expected / counts.numel(), "this is a mean over cells; "
         "sum over them."),
        ((p[seen] * ratio).sum(), "the logarithm is missing."),
        ((p[seen] * (p / rows[:, None])[seen].log()).sum(), "below stands the product of both "
         "margins; yours has that of the rows alone."),
        ((p[seen] * (p / columns)[seen].log()).sum(), "below stands the product of both margins; "
         "yours has that of the columns alone."),
        *((expected / entropy, "this is divided by an entropy; leave it in nats.") for entropy in
          (of_rows, of_columns, (of_rows + of_columns) / 2, (of_rows * of_columns).sqrt())),
    ]  # fmt: skip
    if found.isnan():
        if same(ask.tensor(counts + 1), mutual(counts + 1)):
            return (
                "the result is NaN: empty cells give 0 · log 0. Leave them out; they add nothing."
            )
        return (
            f"the result is NaN, and should be {float(expected):.4f}. Empty cells give 0 · log 0, "
            "which is NaN, and have to be left out; here they are not the only fault."
        )
    return compare(found, expected, slips, logarithms=True, otherwise=lambda: (
        f"for rows {counts.int().tolist()} it is {float(expected):.4f} nats, and yours says "
        f"{float(found):.4g}. The table of independent columns is the product of the two margins."
        + ask.habits((counts,))
    ))  # fmt: skip


@exercise(3, "Averaged over the factors this is MIG.")
def information_gap(ask: Ask) -> str:
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
        ((last - third) / entropies, (third - last) / entropies, "these are the two smallest "
         "entries of each column; take the two largest, in descending order."),
        (best - second / entropies, "both entries are divided by the entropy; brackets are "
         "missing."),
        ((matrix[0] - matrix[1]) / entropies, "these are the first two rows; take of each column "
         "the largest entry and the second largest, wherever they stand."),
    ]  # fmt: skip
    return compare(found, expected, slips, otherwise=lambda: (
        f"the gaps here are {listed(expected)}, and yours {listed(found)}: of each column the "
        "largest entry minus the second largest, as a share of the entropy."
        + ask.habits((matrix, entropies), (0, 1))
    ))  # fmt: skip
