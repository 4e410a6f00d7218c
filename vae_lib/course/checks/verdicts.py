"""What the checks of exercises share: call the answer, compare it, say what is wrong with it.

A check never raises, so that a notebook with unsolved exercises runs to its end. What it says of
a wrong answer is true of that answer: it names a cause only where the numbers are exactly those
that this cause gives; otherwise it says what was expected and what was found.

To add one, write a function that asks the answer and returns what is wrong with it, or an empty
string, and put `@exercise` over it with its notebook and the sentence that a right answer earns.
In a solution's cell a check is called with ``solution=True``: it then neither praises nor counts.
"""

import dis
import functools
import html
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Answer = Callable[..., Any]
Slip = tuple[Any, ...]  # what known mistakes give, and at the end the sentence to say of them

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


def exercise(notebook: int, praise: str) -> Callable[[Callable[["Ask"], str]], Callable]:
    """Make a check of a function that returns what is wrong with an answer.

    >>> @exercise(9, "One and one are two.")
    ... def two(ask):
    ...     return compare(ask.tensor(), 2.0)
    >>> two(lambda: 1.0)
    Not yet: the result is half of what it should be. (0 of 1 solved.)
    >>> two(lambda: 2.0)
    Correct. One and one are two. (1 of 1 solved.)
    """

    def decorate(judge: Callable[["Ask"], str]) -> Callable[..., None]:
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


def notebook_of(check: str) -> int:
    """The number of the notebook that a check belongs to.

    >>> from vae_lib.course import checks
    >>> notebook_of("gaussian_kl")
    1
    """
    return _exercises[check]


def _show(verdict: Verdict) -> None:
    """A box where IPython runs, which shows text in a terminal; else a line."""
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from IPython.display import display

        display(verdict)
    else:
        print(verdict.text)


def _what_is_wrong(judge: Callable[["Ask"], str], answer: Answer) -> str:
    """A sentence that begins with "Not", or nothing."""
    if answer is not None and not callable(answer):
        return f"Not yet: give the function itself, not its result ({type(answer).__name__} found)."
    try:
        wrong = judge(Ask(answer))
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


class Ask:
    """The answer to call: an error, a None or a changed argument becomes a fault."""

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
            if isinstance(new, Tensor) and not same(new, old):
                raise _Fault(
                    f"your function changes its argument {self._name(place)} in place, and the "
                    "caller still needs it: write `x = x + 1` and `x.mul(2)`, not `x += 1` or "
                    "`x.mul_(2)`."
                )
        return value

    def tensor(self, *arguments: Any) -> Tensor:
        """The result as a tensor of float64, without its graph."""
        return as_tensor(self(*arguments))

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
        if not same(found, self.tensor(*arguments)):
            return " Two calls with the same arguments give different results; draw nothing here."
        for place in free:
            value, other = arguments[place].detach(), list(arguments)
            waves = torch.arange(value.numel(), dtype=value.dtype).sin().reshape(value.shape)
            other[place] = value * (1 + 0.5 * waves) + 0.05  # in no order, and positive stays so
            if same(found, self.tensor(*other)):
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


def as_tensor(value: Any) -> Tensor:
    """A learner's result as float64, without its graph; a fault where it holds no numbers.

    >>> as_tensor([1, 2]).dtype
    torch.float64
    """
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


def same(found: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Whether two numbers or tensors have the same shape and nearly the same values, NaN too.

    >>> same(1.0, torch.tensor(1.00001)), same(torch.nan, torch.nan), same(1.0, [1.0])
    (True, True, False)
    """
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


def known_slip(found: Tensor, expected: Any, slips: Iterable[Slip]) -> str:
    """The sentence of the first slip that gives these numbers, or nothing.

    >>> known_slip(torch.tensor(6.0), 2.0, [(4.0, 6.0, "you added something.")])
    'you added something.'
    """
    for *values, sentence in slips:
        # What equals the truth here says nothing.
        if any(same(found, value) and not same(value, expected) for value in values):
            return sentence
    return ""


def compare(
    found: Tensor,
    expected: Any,
    slips: Iterable[Slip] = (),
    where: str = "for the numbers of this check the result",
    logarithms: bool = False,
    otherwise: Callable[[], str] | None = None,
) -> str:
    """Nothing if they agree; else the slip that gives these numbers, a factor, or the numbers.

    ``where`` begins the sentence of numbers, ``otherwise`` gives a better one, and ``logarithms``
    are what the result is made of.

    >>> compare(torch.tensor([2.0, 4.0]), [1.0, 2.0])
    'the result is twice what it should be.'
    >>> compare(torch.tensor([2.0, 5.0]), [1.0, 2.0], [([2.0, 5.0], "you added 1 somewhere.")])
    'you added 1 somewhere.'
    >>> compare(torch.tensor([2.0, 5.0]), [2.0, 4.0])
    'for the numbers of this check the result, number 2 of 2, should be 4, and yours is 5.'
    >>> compare(torch.tensor([1.0, 2.0]), [1.0, 2.0])
    ''
    """
    expected = torch.as_tensor(expected).detach().double()
    if same(found, expected):
        return ""
    if known := known_slip(found, expected, slips):
        return known
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
        if same(found, factor * expected):
            for slip, sentence in (FACTORS | OF_LOGARITHMS if logarithms else FACTORS).items():
                if math.isclose(slip, factor, rel_tol=1e-3):
                    return sentence
            if int(large.sum()) > 1 and abs(factor) > 1e-3:
                return f"the result is {factor:.4g} times what it should be, everywhere."
    step = float((found - expected).mean())
    if found.numel() > 1 and same(found - expected, torch.full_like(expected, step)):
        return f"every value is too {'large' if step > 0 else 'small'} by {abs(step):.4g}."
    if otherwise:
        return otherwise()
    wrong = ((found - expected).abs() > 1e-4 * (1 + expected.abs())).flatten()
    at = int(wrong.nonzero()[0])
    value, right = float(found.flatten()[at]), float(expected.flatten()[at])
    place = "" if found.numel() == 1 else f", number {at + 1} of {found.numel()},"
    return f"{where}{place} should be {right:.4g}, and yours is {value:.4g}."


def listed(values: Tensor) -> list[float]:
    """Numbers for a sentence, to three digits.

    >>> listed(torch.tensor([0.25, 1 / 3], dtype=torch.float64))
    [0.25, 0.333]
    """
    return [round(value, 3) for value in values.tolist()]
