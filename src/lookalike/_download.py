"""Downloading large files from addresses that this package names: resumable, bounded, checked, put in place whole.

While a file is on its way it lies beside its target as ``NAME.part``, with ``NAME.part.json`` that says what it is a part
of. A connection that was cut, Ctrl-C or a full disk leaves both, and the next call asks the server for the rest, on
condition that the file there is still the same one (RFC 9110, If-Range).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias
from urllib.parse import urlsplit

from lookalike._files import Checksum, atomic_write, beside, sync_folder, try_lock
from lookalike.errors import FetchError

__all__ = ["Checksum", "Downloaded", "Progress", "check_room", "download"]

TIMEOUT = 30.0  # seconds without a byte
RETRIES = 3  # in a row that get no further
PAUSE = 1.0  # seconds before a retry
CHUNK = 1 << 18
MAX_NOTES = 1 << 20
HEADERS = {"User-Agent": "lookalike (image search on one's own machine)", "Accept-Encoding": "identity"}

Progress: TypeAlias = Callable[[int, int | None], None]
"""``progress(bytes_there, bytes_in_all or None)``."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is there now.

    Attributes
    ----------
    path : Path
    size : int
    sha256 : str
        In hexadecimal, as is what `Checksum` holds.
    trust : {"published", "as before", "unverified"}
        What its contents were compared with: a published checksum; what was fetched the first time; nothing.
    """

    path: Path
    size: int
    sha256: str
    trust: Literal["published", "as before", "unverified"]


@dataclass(frozen=True, slots=True)
class _Job:
    url: str
    target: Path
    size: int | None
    max_bytes: int
    progress: Progress
    timeout: float

    @property
    def part(self) -> Path:
        return beside(self.target, ".part")

    @property
    def notes(self) -> Path:
        return beside(self.target, ".part.json")


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    max_bytes: int,
    size: int | None = None,
    checksum: Checksum | None = None,
    ledger: str | os.PathLike[str] | None = None,
    progress: Progress = lambda done, total: None,
    timeout: float = TIMEOUT,
    pause: float = PAUSE,
) -> Downloaded:
    """Fetch the file at an http(s) URL to `target`, going on with what an earlier call left.

    Parameters
    ----------
    url : str
        One that this package or the person at the keyboard names; unlike `lookalike._fetch` it may lead into the own network.
    target : str or path
        Its folder is made. A file that is there already is not fetched but checked, so one put there by hand will do.
    max_bytes : int
        Never more than these, whatever the server says.
    size : int, optional
        What the file must have, where that is known.
    checksum : Checksum, optional
        What it must have, where somebody published it.
    ledger : str or path, optional
        Where the SHA-256 of files without a published checksum is noted at the first time and compared at later ones.
    progress : callable
        Called with the bytes that are there and the bytes in all, or None, many times a second; then again while they are checked.
    timeout : float
        Seconds without any byte after which the connection counts as cut.
    pause : float
        Seconds before it is tried again.

    Returns
    -------
    Downloaded

    Raises
    ------
    FetchError
        One line that says what is wrong and what is kept.
    """
    job = _Job(_checked(url), Path(target), size, max_bytes, progress, timeout)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if job.target.exists():
        try:
            return _verify(job, job.target, checksum, ledger)
        except FetchError as error:
            raise FetchError(f"{job.target} is there, but: {error}; delete it to have it fetched") from None
    with _locked(job) as file:
        _fetch_all(job, file, pause)
        try:
            result = _verify(job, job.part, checksum, ledger)
        except FetchError as error:
            file.truncate(0)
            raise FetchError(f"{error}; what was fetched is deleted, try again later") from None
        os.fsync(file.fileno())
        if os.name != "nt":
            job.part.replace(job.target)  # under the lock
    if job.part.exists() and not job.target.exists():  # Windows renames no file that is open
        job.part.replace(job.target)
    job.notes.unlink(missing_ok=True)
    sync_folder(job.target.parent)
    return result


def check_room(folder: Path, need: int, what: str) -> None:
    """Refuse to begin what the disk of `folder` cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise FetchError(
            f"{what} needs {need / 1e6:,.0f} MB of disk, {free / 1e6:,.0f} MB are free at {folder}; free some and run it again"
        )


@contextlib.contextmanager
def _locked(job: _Job) -> Iterator[BinaryIO]:
    """The part, opened for reading and writing, and nobody else's meanwhile."""
    handle = os.open(job.part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    empty = False
    try:
        with os.fdopen(handle, "r+b") as file:
            if not try_lock(handle):
                where = f"{job.target.name} to {job.target.parent}"
                raise FetchError(f"another process is fetching {where}; wait until it is done")
            try:
                yield file
            finally:
                empty = file.seek(0, os.SEEK_END) == 0
    finally:
        if empty:
            job.part.unlink(missing_ok=True)
            job.notes.unlink(missing_ok=True)


# --- the transfer ----------------------------------------------------------------------------------------------------


def _fetch_all(job: _Job, file: BinaryIO, pause: float) -> None:
    """Ask until all is there, as long as that leads further."""
    best, failures, heard = file.seek(0, os.SEEK_END), 0, False
    while True:
        try:
            return _transfer(job, file)
        except urllib.error.HTTPError as error:
            error.close()
            here = f"bytes */{file.seek(0, os.SEEK_END)}"
            if error.code == 416 and error.headers.get("Content-Range") == here:
                return None  # the last call ended when all was there, but not yet in place
            _give_up(job, file, f"answered {error.code} {_short(error.reason)}", error)
        except (OSError, http.client.HTTPException) as error:
            got = file.seek(0, os.SEEK_END)
            heard |= got > best
            failures = 0 if got > best else failures + 1
            best = max(best, got)
            if failures > (RETRIES if heard else 0):  # a machine that is offline learns it at once
                _give_up(job, file, f"the connection failed ({_reason(error)})", error)
            time.sleep(pause)


def _give_up(job: _Job, file: BinaryIO, why: str, error: Exception) -> None:
    if isinstance(error, urllib.error.HTTPError) and error.code == 416:  # the part is longer than the file
        file.truncate(0)
        why = "the file there is not the one of which a part was fetched; that is deleted, run it again"
    elif kept := file.seek(0, os.SEEK_END):
        why += f"; {kept / 1e6:,.1f} MB are kept, and the same command goes on"
    raise FetchError(f"{urlsplit(job.url).hostname}: {job.target.name}: {why}") from None


def _transfer(job: _Job, file: BinaryIO) -> None:
    """One request, for the whole or for the rest."""
    have = file.seek(0, os.SEEK_END)
    headers = dict(HEADERS)
    validator = _validator(job)
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    request = urllib.request.Request(job.url, headers=headers)
    with _opener().open(request, timeout=job.timeout) as response:
        have, total = _position(job, response, have)
        if total is not None:
            check_room(job.target.parent, total - have, job.target.name)
        file.truncate(have)
        file.seek(have)
        _note(job, response)
        job.progress(have, total)
        while (total is None or have < total) and (
            chunk := response.read1(CHUNK)
        ):  # what is there, however slow it comes
            have += len(chunk)
            if have > job.max_bytes:
                raise FetchError(f"{job.target.name}: expected at most {job.max_bytes:,} bytes, the server sends more")
            _write(job, file, chunk)
            job.progress(have, total)
        if total is not None and have < total:
            raise ConnectionError(f"it ended after {have:,} of {total:,} bytes")


def _position(job: _Job, response: Any, have: int) -> tuple[int, int | None]:
    """Where the body begins and how long the whole file is, None where nobody says; refuses what cannot be the file."""
    coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if coding != "identity":
        raise FetchError(f"{job.target.name}: the server sent a compressed body although none was asked for")
    length = response.headers.get("Content-Length") or ""
    start, total = 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != have:
            raise FetchError(f"{job.target.name}: the server sent another part than the one that was asked for")
        start, total = have, int(found[2])
    elif response.status != 200:
        raise FetchError(f"{job.target.name}: the server answered {response.status} {_short(response.reason)}")
    if job.size is not None and total is not None and total != job.size:
        raise FetchError(
            f"{job.target.name}: expected {job.size:,} bytes, the server has {total:,}: this is another file"
        )
    if total is not None and total > job.max_bytes:
        raise FetchError(f"{job.target.name}: expected at most {job.max_bytes:,} bytes, the server has {total:,}")
    return start, total


def _write(job: _Job, file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        why = "the disk is full" if full else f"cannot be written to ({error.strerror or error})"
        raise FetchError(f"{job.part}: {why}; what was fetched is kept, make room and run it again") from None


def _validator(job: _Job) -> str | None:
    """What the server called the file of which the part is one; None where there is nothing to hold it to."""
    try:
        with job.notes.open("rb") as file:
            notes = json.loads(file.read(MAX_NOTES))
    except (OSError, ValueError, RecursionError):
        return None
    value = notes.get("validator") if isinstance(notes, dict) and notes.get("url") == job.url else None
    return value if isinstance(value, str) and re.fullmatch(r"[\x20-\x7e]{1,500}", value) else None


def _note(job: _Job, response: Any) -> None:
    etag = (response.headers.get("ETag") or "").strip()
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    with atomic_write(job.notes) as file:
        file.write(json.dumps({"url": job.url, "validator": validator}).encode())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To http and https only, and never from the protected one to the other."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            if urlsplit(_checked(newurl)).scheme == "http" and urlsplit(req.full_url).scheme == "https":
                raise FetchError(f"{urlsplit(req.full_url).hostname}: redirects from https to unprotected http")
        except FetchError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https and nothing else; through a proxy, where the environment names one."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise FetchError(f"not a URL: {_short(url)!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"expected a URL that starts with http:// or https://, got {_short(url)!r}")
    return url


# --- what it must be -------------------------------------------------------------------------------------------------


def _verify(job: _Job, path: Path, checksum: Checksum | None, ledger: str | os.PathLike[str] | None) -> Downloaded:
    """The file at `path`, compared with all that is known of it."""
    size = path.stat().st_size
    if job.size is not None and size != job.size:
        raise FetchError(f"{job.target.name}: expected {job.size:,} bytes, got {size:,}")
    algorithms: set[str] = {"sha256", checksum.algorithm if checksum else "sha256"}
    digests = _digests(path, algorithms, lambda done: job.progress(done, size))
    sha256 = digests["sha256"]
    if checksum is not None:
        if digests[checksum.algorithm] != checksum.value:
            raise FetchError(
                f"{job.target.name}: expected {checksum.title} {checksum.value} (published by {checksum.source}), "
                f"got {digests[checksum.algorithm]}"
            )
        return Downloaded(job.target, size, sha256, "published")
    if ledger is None:
        return Downloaded(job.target, size, sha256, "unverified")
    known = _ledger(Path(ledger))
    if job.url not in known:
        lines = "".join(f"{value}  {address}\n" for address, value in (known | {job.url: sha256}).items())
        with atomic_write(ledger) as file:
            file.write(lines.encode())
        return Downloaded(job.target, size, sha256, "unverified")
    if known[job.url] != sha256:
        raise FetchError(
            f"{job.target.name}: expected SHA-256 {known[job.url]} as when it was first fetched ({ledger}), got {sha256}"
        )
    return Downloaded(job.target, size, sha256, "as before")


def _digests(path: Path, algorithms: set[str], progress: Callable[[int], None]) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=name != "md5") for name in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            for digest in hashes.values():
                digest.update(chunk)
            progress(file.tell())
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _ledger(path: Path) -> dict[str, str]:
    """SHA-256 by URL, from lines as ``sha256sum`` writes them."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_NOTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    found = (re.fullmatch(r"([0-9a-f]{64})  (\S+)", line) for line in text.splitlines())
    return {row[2]: row[1] for row in found if row is not None}


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "nothing came any more"
    return _short(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)


def _short(text: object, limit: int = 100) -> str:
    """Text from outside, on one line and of bounded length."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:limit])
