"""Fetch one large file over HTTP, resuming what was cut short."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm
from urllib3.exceptions import NameResolutionError, NewConnectionError

from vae_lib.errors import InputError

ATTEMPTS = 5
BACKOFF = 1.0  # seconds before the second attempt, doubled before each later one
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After may ask for
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of the body
CHUNK = 1 << 16
BUSY = (429, 500, 502, 503, 504)
CUT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def fetch(url: str, part: Path, check_start: Callable[[bytes, str], None]) -> int | None:
    """Fetch ``url`` into ``part``, going on from the bytes that ``part`` already has.

    A busy server (429, 5xx) and a cut connection are tried again, `ATTEMPTS` times in all. A
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
            trouble = _trouble(url, error)
        except requests.RequestException as error:
            raise InputError(f"{url} cannot be fetched ({error}). Check the address.") from error
        if attempt + 1 < ATTEMPTS:
            time.sleep(min(wait, LONGEST_WAIT))
    raise InputError(
        f"{_host(url)} failed {ATTEMPTS} times, the last time because {trouble}. Run the command "
        f"again later: the {_length(part):,} bytes that have arrived are kept and resumed."
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


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
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


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
    pieces = response.iter_content(CHUNK)
    if not resumed:
        first = next(pieces, b"")
        check_start(first, response.url)
        pieces = itertools.chain([first], pieces)
    bar = tqdm(total=total, initial=offset, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab" if resumed else "wb") as file:
        for piece in pieces:
            file.write(piece)
            bar.update(len(piece))
    return total


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
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"it did not answer within {TIMEOUT[1]} s"
    return "the connection was cut"
