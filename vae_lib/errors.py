"""The one error that a user meets: a sentence to act on."""


class InputError(Exception):
    """Bad input, told in a sentence: what was found, what was expected, what to do.

    The command line prints the sentence and exits with code 2; a notebook shows it as the
    last line of the traceback. No ValueError, since libraries catch those and tell them in their
    own words.
    """


class TrainingStopped(RuntimeError):
    """Training cannot go on: at which step, what is left to continue from, what to try."""
