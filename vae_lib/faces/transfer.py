"""Fetch one large file over HTTP, resuming what was cut short."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError

from vae_lib.errors import InputError

ATTEMPTS = 5
BACKOFF = 1.0  # seconds before the second attempt, doubled before each later one
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After may ask for
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of the body
PATIENCE = 60.0  # seconds over which a speed is measured
SLOWEST = 1_000  # bytes a second; a server that drips more slowly would never come to an end
CHUNK = 1 << 16
START = 1 << 14  # bytes of a fresh answer that are looked at before any is kept
BUSY = (429, 500, 502, 503, 504)
CUT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class TooSlow(requests.Timeout):
    """A server that sends, but hardly anything."""


def fetch(url: str, part: Path, check_start: Callable[[bytes, str], None]) -> int | None:
    """Fetch ``url`` into ``part``, going on from the bytes that ``part`` already has.

    A busy server (429, 5xx), a cut connection and one that hardly sends anything are tried again,
    `ATTEMPTS` times in all, with a line that says so. A
    resumed request carries If-Range where the server named its version of the file. A version
    that changed between two runs goes unnoticed here, so the whole file has to be verified.

    Parameters
    ----------
    url : str
        An http or https address; redirects are followed.
    part : Path
        Where the bytes go. It stays when the connection is cut.
    check_start : callable
        Called with the first bytes of a fresh answer and its address, before ``part`` is
        touched; raises InputError if they cannot be the file.

    Returns
    -------
    int or None
        The whole file's length in bytes as the server announced it.

    Raises
    ------
    InputError
        If the address is wrong, or the server refuses, fails, or stays busy.
    """
    if not url.lower().startswith(("http://", "https://")) or not _host(url):
        raise InputError(f"{url!r} is no address to download from: use http:// or https://.")
    version = None
    for attempt in range(ATTEMPTS):
        wait = BACKOFF * 2**attempt
        try:
            with _get(url, _length(part), version) as response:
                if response.status_code in BUSY:
                    trouble = f"it answered {response.status_code} {response.reason}"
                    wait = _retry_after(response) or wait
                elif response.status_code == 416 and _announced(response) == _length(part):
                    return _length(part)
                elif _misplaced(response, part):
                    trouble = "it did not resume where the file had stopped"
                    part.unlink(missing_ok=True)
                elif not response.ok:
                    raise InputError(
                        f"{url} answered {response.status_code} {response.reason}; "
                        "expected the file. Check the address, or open it in a browser."
                    )
                else:
                    version = _version(response)
                    return _save(response, part, check_start)
        except CUT as error:
            trouble = _trouble(_asked(url, error), error)
        except (requests.RequestException, HTTPError, ValueError) as error:
            # A redirect may lead to any address, and not all that is wrong with one has a class.
            raise InputError(
                f"{url} cannot be fetched, or leads to an address that cannot ({error}). Check it."
            ) from error
        if attempt + 1 < ATTEMPTS:
            wait = min(wait, LONGEST_WAIT)
            print(
                f"{_host(url)}: {trouble}. Attempt {attempt + 2} of {ATTEMPTS} in {wait:,.0f} s; "
                f"{_length(part):,} bytes have arrived."
            )
            time.sleep(wait)
    raise InputError(
        f"{_host(url)} failed {ATTEMPTS} times, the last time because {trouble}. Run the command "
        f"again later: the {_length(part):,} bytes that have arrived are kept and resumed."
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _asked(url: str, error: requests.RequestException) -> str:
    """The address that failed: the one asked for, or where it redirected to."""
    return getattr(error.request, "url", None) or url


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _get(url: str, offset: int, version: str | None) -> requests.Response:
    # Offsets count the file's own bytes, so ask for it uncompressed.
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if version:
            headers["If-Range"] = version
    return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def _version(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag", "")
    # A weak ETag may not stand in If-Range (RFC 9110, 13.1.5).
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _retry_after(response: requests.Response) -> float | None:
    after = response.headers.get("Retry-After", "")
    if after.isdecimal():
        return float(after)
    try:
        when = parsedate_to_datetime(after)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # neither seconds nor a date
        return None


def _announced(response: requests.Response) -> int | None:
    if response.status_code in (206, 416):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def _misplaced(response: requests.Response, part: Path) -> bool:
    if response.status_code == 416:
        return True
    start = response.headers.get("Content-Range", "").startswith(f"bytes {_length(part)}-")
    return response.status_code == 206 and not start


def _save(response: requests.Response, part: Path, check_start: Callable) -> int | None:
    resumed = response.status_code == 206
    offset, total = _length(part) if resumed else 0, _announced(response)
    pieces = _pieces(response)
    if not resumed:
        first = b""
        while len(first) < START and (piece := next(pieces, b"")):
            first += piece
        check_start(first, response.url)
        pieces = itertools.chain([first], pieces)
    bar = tqdm(total=total, initial=offset, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab" if resumed else "wb") as file:
        for piece in pieces:
            file.write(piece)
            bar.update(len(piece))
    return total


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives."""
    # Not iter_content: it waits for a whole chunk, for which a dripping server takes days.
    read = getattr(response.raw, "read1", response.raw.read)
    begun, arrived = time.monotonic(), 0
    try:
        while piece := read(CHUNK):
            yield piece
            arrived += len(piece)
            lasted = time.monotonic() - begun
            if lasted > PATIENCE:
                if arrived < SLOWEST * lasted:
                    raise TooSlow(f"it sent no more than {arrived:,} bytes in {lasted:,.0f} s")
                begun, arrived = time.monotonic(), 0
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except HTTPError as error:
        raise requests.ConnectionError(error) from error


def _trouble(url: str, error: requests.RequestException) -> str:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, NameResolutionError):
        raise InputError(
            f"No host is called {_host(url)!r}. Check the address and the network."
        ) from error
    if isinstance(reason, NewConnectionError):
        why = str(reason).rpartition("] ")[2].lower()
        raise InputError(
            f"{_host(url)} cannot be reached: {why}. Check the address and its port."
        ) from error
    if isinstance(error, requests.exceptions.SSLError):
        raise InputError(f"{_host(url)} has no valid certificate ({reason or error}).") from error
    if isinstance(error, TooSlow):
        return str(error)
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"it did not answer within {TIMEOUT[1]} s"
    return "the connection was cut"
