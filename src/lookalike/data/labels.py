"""The labels of a folder of pictures: the names of its folders, or a file of labels where a picture has several.

``labels.tsv`` lies in the folder itself, UTF-8, one picture a line: its path in the folder with forward slashes, a tab, and
its labels with semicolons between them (none, for a picture without). A first line ``path<TAB>labels`` is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from lookalike._files import atomic_write, one_spelling
from lookalike._typing import PathLike
from lookalike.data.walk import SUFFIXES, Found, label_of, walk
from lookalike.errors import DatasetError, FormatError

__all__ = ["LABELS_FILE", "read_labels", "read_labels_file", "write_labels"]

LABELS_FILE = "labels.tsv"
HEADER = "path\tlabels"
MAX_BYTES = 256 << 20


def read_labels(folder: PathLike, suffixes: Collection[str] = SUFFIXES) -> dict[str, tuple[str, ...]]:
    """The labels of each picture of a folder, by its path in the folder with forward slashes.

    A folder with a file ``labels.tsv`` is labelled by that, and holds the pictures that it names. Any other is labelled by
    its folders: ``cats/siamese/1.jpg`` is labelled ``cats/siamese``, and a picture directly in it has no label.

    Parameters
    ----------
    folder : str or path
    suffixes : collection of str
        Of pictures, in lower case with the dot; for folders without ``labels.tsv``.

    Returns
    -------
    labels : dict of str to tuple of str
        In the order of the file, or of `walk`. A tuple is empty where nobody said what the picture is.

    Raises
    ------
    DatasetError
        If there is no such folder.
    FormatError
        If ``labels.tsv`` is not as described above; the message gives the line.

    Examples
    --------
    >>> from lookalike.data import starter_folder
    >>> read_labels(starter_folder())["photos/windmill/windmill-12.jpg"]
    ('photos/windmill',)
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(
            f"{root}: expected a folder of pictures, there is {'a file' if root.exists() else 'nothing'}"
        )
    if (root / LABELS_FILE).exists():
        return read_labels_file(root / LABELS_FILE)
    found = (item.path for item in walk(root, suffixes) if isinstance(item, Found))
    labels = {path.relative_to(root).as_posix(): label_of(path, root) for path in found}
    return {path: (one_spelling(label),) if label else () for path, label in labels.items()}


def write_labels(folder: PathLike, labels: Mapping[str, Sequence[str]]) -> Path:
    """Write ``labels.tsv`` into a folder, in place of the one that is there; returns its path.

    Raises
    ------
    FormatError
        If a path leads out of the folder, or a path or label holds what the file cannot: tabs, line ends, a label a semicolon.
    """
    lines = [HEADER]
    for path, names in labels.items():
        lines.append(f"{path}\t{';'.join(names)}")
        if _parse(lines[-1]) != (path, tuple(names)):
            raise FormatError(f"{LABELS_FILE}: cannot hold the path {path!r} with the labels {list(names)}")
    target = Path(folder, LABELS_FILE)
    with atomic_write(target) as file:
        file.write(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    return target


def read_labels_file(file: Path) -> dict[str, tuple[str, ...]]:
    """The labels that one file gives, whatever its name and wherever it lies; see `read_labels`."""
    if not file.is_file():
        raise FormatError(f"{file}: expected a file of labels, it is a folder, a pipe or a device")
    if file.stat().st_size > MAX_BYTES:
        raise FormatError(f"{file}: expected at most {MAX_BYTES >> 20} MB")
    text = file.read_bytes().removeprefix(b"\xef\xbb\xbf")  # some editors begin UTF-8 with a mark
    labels: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.decode("utf-8", "surrogateescape").split("\n"), 1):
        line = line.removesuffix("\r")  # noqa: PLW2901
        if not line or (number == 1 and line == HEADER):
            continue
        row = _parse(line)
        if row is None:
            raise FormatError(
                f"{file}: line {number}: expected a path inside the folder, a tab, and labels with ';' between, "
                f"got {line[:80]!r}"
            )
        path, names = row
        if path in labels:
            raise FormatError(f"{file}: line {number}: {path!r} is labelled twice; name all its labels in one line")
        labels[path] = names
    return labels


def _parse(line: str) -> tuple[str, tuple[str, ...]] | None:
    """Path and labels of a line; None where it is not such a line."""
    path, tab, rest = line.partition("\t")
    parts = PurePosixPath(path)
    if not tab or "\t" in rest or set(line) & set("\0\r\n") or not path or path != str(parts):
        return None
    if parts.is_absolute() or ".." in parts.parts or path == ".":
        return None
    names = (one_spelling(name.strip()) for name in rest.split(";"))
    return path, tuple(dict.fromkeys(name for name in names if name))
