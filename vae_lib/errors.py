"""The one error that a user meets: a sentence to act on."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Bad input, told in a sentence: what was found, what was expected, what to do.

    The command line prints the sentence and exits with code 2; a notebook shows it as the
    last line of the traceback. No ValueError, since libraries catch those and tell them in their
    own words.
    """


class MissingPackage(InputError, ImportError):
    """A package that only a part of this one needs is not installed: which, and the command."""


def missing_package(name: str, purpose: str, packages: str, extra: str) -> MissingPackage:
    """The error for `purpose`, which needs `name`; pip installs `packages`, the extra's names."""
    return MissingPackage(
        f"{purpose} needs the package {name}, which is not installed. Run `pip install {packages}` "
        f"(with uv: `uv pip install {packages}`), or install this project with its extra "
        f"`{extra}`; in a notebook, restart the kernel afterwards."
    )


class TrainingStopped(RuntimeError):
    """Training cannot go on: at which step, what is left to continue from, what to try."""


@contextmanager
def foreign(what: str, cure: str) -> Iterator[None]:
    """Tell of what somebody may have damaged or edited in a sentence, whatever goes wrong with it.

    Of a file from elsewhere anything at all may come out of a library.

    Raises
    ------
    InputError
        ``WHAT (reason). CURE.``; one that comes from within goes through as it is.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what} ({reason or type(error).__name__}). {cure}.") from error
