"""The console's two whims: characters that it has not, and Ctrl-C at any moment."""

import codecs
import io
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAIN = threading.main_thread().ident  # the one thread that may change what signals do
INTERRUPTED = "interrupted; a training run goes on with --resume, a sweep with the same command."

SPELLED = str.maketrans(
    {"•": "*", "·": "*", "×": "x", "→": "->", "−": "-", "–": "-", "±": "+/-", "≤": "<=", "≥": ">="}
    | {"β": "beta", "γ": "gamma", "σ": "sigma", "μ": "mu", "⁄": "/", "’": "'", "“": '"', "”": '"'}
)


def spell_what_consoles_lack() -> None:
    """Let ``print`` spell a character in ASCII where the console's encoding has none for it.

    Without this a single ``•`` or ``²`` ends a command with a traceback under gbk, cp932, cp949
    or ASCII, and so does a file's name.
    """
    codecs.register_error("vae_lib.spell", spell)
    for stream in (sys.stdout, sys.stderr):  # a notebook's streams are of other kinds and take all
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="vae_lib.spell")


def spell(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: ASCII for what cannot be encoded, and where to go on.

    ``"2³²"`` becomes ``"2^32"``, ``"é"`` becomes ``"e"``; what has no likeness, ``"?"``.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled = ""
    for place in range(error.start, error.end):
        character, before = error.object[place], error.object[max(place - 1, 0) : place]
        if _is_raised(character) and not _is_raised(before):
            spelled += "^"  # 2³² is not 232
        parts = unicodedata.normalize("NFKD", character.translate(SPELLED)).translate(SPELLED)
        spelled += "".join(part for part in parts if not unicodedata.combining(part))
    return spelled.encode("ascii", "replace").decode(), error.end


def _is_raised(character: str) -> bool:
    return bool(character) and unicodedata.decomposition(character).startswith("<super>")


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """End the process with one sentence at Ctrl-C, for imports.

    A KeyboardInterrupt that lands in PyTorch's import aborts the process with C++'s words.
    """
    before = signal.getsignal(signal.SIGINT)  # nohup has it ignored; a notebook, its own
    if before is not signal.default_int_handler or threading.current_thread().ident != MAIN:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(number: int, frame: FrameType | None) -> None:
    say(INTERRUPTED)
    os._exit(130)


def say(sentence: str) -> None:
    """Print a sentence of the ``vae`` command to stderr; of several processes one speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(f"vae: {sentence}", file=sys.stderr, flush=True)
