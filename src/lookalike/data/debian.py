"""Data sets that come as packages of Debian and its descendants: fetched and unpacked by the system's own tools, without root.

The package manager checks what it downloads against its signed lists. What it unpacks is still treated as foreign: only regular
files that are pictures are taken, links are left behind, sizes are capped.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from lookalike._typing import PathLike
from lookalike.errors import DatasetError

__all__ = ["PACKAGES", "Fetched", "Package", "fetch"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
MAX_BYTES = 1 << 30  # of a package, and of the pictures in it
DOWNLOAD_SECONDS, UNPACK_SECONDS = 3600, 900


@dataclass(frozen=True, slots=True)
class Package:
    """A package, and the folder in it that holds the pictures."""

    name: str
    folder: str


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        "stamps": Package("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"),
        "clipart": Package("openclipart-png", "usr/share/openclipart/png"),
    }
)
"""By name of the data set."""


class Fetched(NamedTuple):
    """Where a data set is, how many pictures it has, and whether it was there before."""

    folder: Path
    pictures: int
    was_there: bool


def fetch(name: str, target: PathLike, say: Callable[[str], None] = lambda _: None) -> Fetched:
    """Fetch a data set into the folder `target`, which must not exist yet; one that does is left as it is.

    Parameters
    ----------
    name : str
        One of `PACKAGES`.
    target : path
        Its parent is made. Pictures keep their folders, which are their labels; the package's terms are in ``COPYRIGHT``.
    say : callable
        Takes lines of progress.

    Raises
    ------
    DatasetError
        If the data set is not known, the system has no such packages, or the package cannot be had; the message says what to do.
    """
    if name not in PACKAGES:
        raise DatasetError(f"{name!r} cannot be fetched; there are: {', '.join(PACKAGES)}")
    package, folder = PACKAGES[name], Path(target)
    if folder.is_dir() and any(folder.iterdir()):
        return Fetched(folder, sum(1 for _ in _pictures(folder)), True)
    _check_tools(package)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        archive = _download(package, Path(work), say)
        say(f"unpacking {archive.stat().st_size / 1e6:,.0f} MB")
        root = Path(work, "root")
        _run(["dpkg", "-x", str(archive), str(root)], Path(work), UNPACK_SECONDS, f"{package.name} cannot be unpacked")
        chosen = Path(work, "chosen")
        count = _choose(root, package, chosen)
        if folder.is_dir():
            folder.rmdir()  # it is empty: Windows would not replace it
        chosen.replace(folder)
    return Fetched(folder, count, False)


def _check_tools(package: Package) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise DatasetError(
            f"this system has no {' and no '.join(missing)}; on Debian or Ubuntu the command works as it is, elsewhere unpack "
            f"Debian's package {package.name} (`ar x` it, then `tar xf data.tar.*`) and use its folder {package.folder}"
        )


def _download(package: Package, work: Path, say: Callable[[str], None]) -> Path:
    """The package file, from the system's list of packages, or from a list of our own where that is missing or stale."""
    options = ["-o", "APT::Sandbox::User=root"]  # else it warns that its own user cannot write here
    try:
        _fetch_file(package, work, options, say)
    except DatasetError:
        say("the system's list of packages does not have it; getting a list for this once")
        lists = work / "lists"
        (lists / "partial").mkdir(parents=True)
        options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={work / 'cache'}"]
        failed = "the list of packages cannot be had; is this machine online?"
        _run(["apt-get", *options, "update"], work, DOWNLOAD_SECONDS, failed)
        _fetch_file(package, work, options, say)
    found = sorted(work.glob("*.deb"))
    if len(found) != 1 or found[0].is_symlink() or not found[0].is_file():
        raise DatasetError(f"apt-get said that it fetched {package.name}, expected one file, got {len(found)}")
    return found[0]


def _fetch_file(package: Package, work: Path, options: list[str], say: Callable[[str], None]) -> None:
    failed = f"{package.name} cannot be fetched"
    listing = _run(["apt-get", *options, "download", "--print-uris", package.name], work, DOWNLOAD_SECONDS, failed)
    size = re.search(r"^'[^']+' \S+ (\d{1,15})\b", listing, re.MULTILINE)
    if size is None:
        raise DatasetError(f"{failed}: apt-get does not say how large it is")
    need = int(size[1])
    if need > MAX_BYTES:
        raise DatasetError(f"{failed}: expected at most {MAX_BYTES / 1e6:,.0f} MB, it has {need / 1e6:,.0f} MB")
    free = shutil.disk_usage(work).free
    if free < 4 * need:  # the file, what is in it, and room to breathe
        raise DatasetError(f"{failed}: {4 * need / 1e6:,.0f} MB of disk are needed, {free / 1e6:,.0f} MB are free")
    say(f"fetching {package.name}, {need / 1e6:,.0f} MB")
    _run(["apt-get", *options, "download", package.name], work, DOWNLOAD_SECONDS, failed)
    got = sum(path.stat().st_size for path in work.glob("*.deb"))
    if got != need:
        raise DatasetError(f"{failed}: expected {need:,} bytes, got {got:,}")


def _run(command: list[str], folder: Path, seconds: int, failed: str) -> str:
    """What the command prints. It gets no input, speaks English, and ends in time."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DatasetError(f"{failed}: {command[0]} took more than {seconds} s") from None
    except OSError as error:
        raise DatasetError(f"{failed}: {command[0]}: {error.strerror or error}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DatasetError(f"{failed}: {lines[-1] if lines else f'{command[0]} ended with {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")


def _choose(root: Path, package: Package, chosen: Path) -> int:
    """Move the pictures below the package's folder to `chosen`; returns how many."""
    source = root / package.folder
    if not source.is_dir() or Path(os.path.realpath(source)) != Path(os.path.realpath(root)) / package.folder:
        raise DatasetError(f"{package.name} has no folder {package.folder}; this version of it is not known")
    count = total = 0
    for path, size in list(_pictures(source)):
        total += size
        if total > MAX_BYTES:
            raise DatasetError(f"{package.name}: expected at most {MAX_BYTES / 1e6:,.0f} MB of pictures, it has more")
        goal = chosen / path.relative_to(source)
        goal.parent.mkdir(parents=True, exist_ok=True)
        path.replace(goal)
        goal.chmod(0o644)
        count += 1
    if not count:
        raise DatasetError(f"{package.name} has no pictures in {package.folder}; this version of it is not known")
    terms = root / "usr" / "share" / "doc" / package.name / "copyright"
    if not terms.is_symlink() and terms.is_file() and terms.stat().st_size < MAX_BYTES:
        terms.replace(chosen / "COPYRIGHT")
    return count


def _pictures(folder: Path) -> Iterator[tuple[Path, int]]:
    """Regular files that are pictures, with their sizes; links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and path.suffix.lower() in SUFFIXES:
                yield path, status.st_size
