"""Data sets that their authors publish as archives: fetched, checked, unpacked, labelled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlsplit
from xml.parsers import expat

from lookalike._download import Progress, check_room, download
from lookalike._typing import PathLike
from lookalike.data.archives import unpack
from lookalike.data.datasets import Archive, DatasetCard
from lookalike.data.debian import Fetched
from lookalike.data.labels import LABELS_FILE, read_labels, write_labels
from lookalike.data.walk import Found, walk
from lookalike.errors import DatasetError, FetchError, FormatError

__all__ = ["fetch", "voc_objects"]

MAX_XML = 1 << 20
BACKGROUND = "BACKGROUND_Google"  # Caltech-101's pictures of nothing in particular

Labels: TypeAlias = dict[str, tuple[str, ...]]


def fetch(
    card: DatasetCard,
    target: PathLike,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
    ledger: PathLike | None = None,
) -> Fetched:
    """Fetch a data set into the folder `target`, which must not exist yet; if it holds one, that is left as it is.

    Parameters
    ----------
    card : DatasetCard
        One with an `archive`; tests give one whose address is their own server's.
    target : path
        Its parent is made. The archive is fetched beside it, and deleted when it is unpacked; one that was put there by hand is
        taken instead, and stays.
    say : callable
        Takes lines about what is being done.
    progress : callable
        Called with the bytes that are fetched, checked or unpacked and the bytes in all, many times a second.
    ledger : path, optional
        Where the SHA-256 of archives without a published checksum are noted.

    Returns
    -------
    Fetched

    Raises
    ------
    DatasetError, FetchError, FormatError
        One line that says what is wrong. Nothing half made is left, but for the part of the archive that the next call needs.
    """
    folder, archive = Path(target), card.archive
    if archive is None or card.name not in _ARRANGE:
        raise DatasetError(f"{card.name!r} is not published as an archive")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / LABELS_FILE).is_file():
            raise DatasetError(f"{folder} is not empty and not {card.name}; choose a new folder")
        return Fetched(folder, len(read_labels(folder)), True)
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file; expected a new folder")
    file = folder.with_name(archive.file)
    was_there = file.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _download(archive, file, say, progress, ledger)
    pictures = _unpack(card, archive, file, folder, say, progress)
    if was_there:
        say(f"{file} was there before and is kept")
    else:
        file.unlink()
    return Fetched(folder, pictures, False)


def _download(
    archive: Archive, file: Path, say: Callable[[str], None], progress: Progress, ledger: PathLike | None
) -> None:
    if not file.exists():
        part = file.with_name(f"{file.name}.part")
        have = part.stat().st_size if part.exists() else 0
        check_room(file.parent, 2 * archive.size - have, f"{archive.file}, packed and unpacked,")
        there = f", of which {have / 1e6:,.0f} are there" if have else ""
        say(f"fetching {archive.file}, {archive.size / 1e6:,.0f} MB{there}, from {urlsplit(archive.url).hostname}")
    try:
        done = download(
            archive.url,
            file,
            max_bytes=archive.size,
            size=archive.size,
            checksum=archive.checksum,
            ledger=ledger,
            progress=progress,
        )
    except FetchError as error:
        if file.exists():
            raise
        raise FetchError(f"{error} (or get {archive.url} in another way and put it at {file})") from None
    if archive.checksum is not None:
        say(f"checked: its {archive.checksum.title} is the one published by {archive.checksum.source}")
    elif done.trust == "as before":
        say("checked: the same file as when it was first fetched")
    else:
        say(f"unverified: nobody published a checksum of it; its SHA-256 is {done.sha256}")


def _unpack(
    card: DatasetCard, archive: Archive, file: Path, folder: Path, say: Callable[[str], None], progress: Progress
) -> int:
    """Make the folder: pictures, labels, whose they are; it appears whole."""
    check_room(folder.parent, archive.size, f"{card.name}, unpacked,")
    say(f"unpacking {archive.file}")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        made = Path(work, "made")
        made.mkdir()
        unpack(
            file,
            made,
            archive.keep,
            max_bytes=2 * archive.size + (64 << 20),
            inner=archive.inner,
            progress=lambda position: progress(position, archive.size),
        )
        labels = _ARRANGE[card.name](made)
        if not labels:
            raise FormatError(f"{archive.file}: there are no pictures in it; this version of the archive is not known")
        write_labels(made, labels)
        (made / "ATTRIBUTION.txt").write_text(_attribution(card, archive), "utf-8")
        if folder.is_dir():
            folder.rmdir()  # it is empty: Windows would not replace it
        made.replace(folder)
    return len(labels)


def _attribution(card: DatasetCard, archive: Archive) -> str:
    licences = "".join(f"{licence.pictures:,} pictures: {licence.name}, {licence.url}\n" for licence in card.licences)
    return (
        f"{card.title}\n\n{card.citation}\n\n{licences}\nFrom {archive.url}\n"
        f"Only the pictures were taken out, unchanged; {LABELS_FILE} says what the archive says of each.\n"
    )


def _pictures(folder: Path) -> list[str]:
    return [item.path.relative_to(folder).as_posix() for item in walk(folder, {".jpg"}) if isinstance(item, Found)]


# --- what the archives say of their pictures -------------------------------------------------------------------------


def _caltech(folder: Path) -> Labels:
    """A picture's folder is its label; the background, which is a heap of anything, has none."""
    kinds = {path: path.partition("/")[0] for path in _pictures(folder)}
    return {path: () if kind == BACKGROUND else (kind,) for path, kind in kinds.items()}


def _voc(folder: Path) -> Labels:
    """The kinds of objects in a picture, each once; those marked as difficult do not count, as in the challenge."""
    labels = {}
    for path in _pictures(folder):
        notes = folder / "Annotations" / f"{Path(path).stem}.xml"
        labels[path] = voc_objects(notes) if notes.is_file() else ()
    shutil.rmtree(folder / "Annotations", ignore_errors=True)
    return labels


_ARRANGE: Mapping[str, Callable[[Path], Labels]] = MappingProxyType({"caltech101": _caltech, "voc2012": _voc})


def voc_objects(file: Path) -> tuple[str, ...]:
    """Names of the objects in a VOC annotation that are not marked as difficult, each once, in alphabetical order.

    Raises
    ------
    FormatError
        If it is not such a file. A document type, through which XML could grow or read other files, is refused.
    """
    if file.stat().st_size > MAX_XML:
        raise FormatError(f"{file.name}: expected at most {MAX_XML:,} bytes of annotation")
    path: list[str] = []
    objects: list[dict[str, str]] = []

    def start(name: str, _: object) -> None:
        path.append(name)
        if path == ["annotation", "object"]:
            objects.append({})

    def text(data: str) -> None:
        if len(path) == 3 and path[:2] == [
            "annotation",
            "object",
        ]:  # deeper down are the parts of a body, with names too
            objects[-1][path[2]] = objects[-1].get(path[2], "") + data

    def refuse(*_: object) -> None:
        raise FormatError(f"{file.name}: an annotation with a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        raise FormatError(f"{file.name}: not an annotation in XML: {error}") from None
    names = (item.get("name", "").strip() for item in objects if item.get("difficult", "0").strip() != "1")
    return tuple(sorted({name for name in names if name}))
