"""Paths and ``file://`` URLs as people type them, made absolute."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from lookalike.errors import ImageError, InputError

__all__ = ["absolute", "named_path", "picture_at"]


def absolute(path: str | os.PathLike[str]) -> Path:
    """`path` with ``~`` and the working folder filled in; links stay as they are. A ``file://`` URL is the path it names."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if isinstance(path, str) and text[:7].lower() == "file://":
        text = _path_of_url(text)
    if not text or "\0" in text:
        raise InputError(f"path: expected the name of a file or folder, got {text!r}")
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 (Path has no lexical `..`)


def named_path(text: str) -> Path:
    """The path that somebody typed, as it is; that of a ``file://`` URL in full."""
    return absolute(text) if text[:7].lower() == "file://" else Path(text)


def _path_of_url(url: str) -> str:
    """The path that a ``file://`` URL names on this machine; what stands after ? and # is a part of it, as of every path.

    Raises
    ------
    InputError
        If it names another machine, or no full path.
    """
    host, slash, rest = url[7:].partition("/")
    if host.lower() not in ("", "localhost"):
        raise InputError(f"{url[:200]}: expected file:///PATH, a file of this machine; {host[:80]!r} is another")
    if not slash:
        raise InputError(f"{url[:200]}: expected file:///PATH with the full path of a file")
    if os.name == "nt":
        from urllib.request import url2pathname

        return url2pathname(slash + rest)
    return os.fsdecode(unquote_to_bytes(os.fsencode(slash + rest)))


def picture_at(name: str | os.PathLike[str]) -> Path:
    """The full path of a file that somebody named.

    Raises
    ------
    ImageError
        If there is none.
    """
    path = absolute(name)
    if not path.exists():
        raise ImageError(f"{os.fspath(name)}: there is no such file")
    if path.is_dir():
        raise ImageError(f"{os.fspath(name)}: a folder, expected a picture; `lookalike index` takes folders")
    return path
