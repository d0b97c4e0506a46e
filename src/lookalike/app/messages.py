"""Cleans error messages for the network: no folder above the one that was indexed, no process id, no SQL.

The errors themselves contain all of that, for people who read them in a terminal of this machine.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["public_error", "public_text"]

LONGEST: Final = 4000  # characters of a message

# An absolute path ends at a quote, a bracket or a space; where it began with a quote or a bracket, at that one's partner.
_ABSOLUTE: Final = r"(?:/|[A-Za-z]:[\\/]|\\\\)"
_PATHS: Final = (
    re.compile(rf"(?<=')({_ABSOLUTE}[^']*)(?=')"),
    re.compile(rf'(?<=")({_ABSOLUTE}[^"]*)(?=")'),
    re.compile(rf"(?<=\()({_ABSOLUTE}[^()]*)(?=\))"),
    re.compile(rf"(?:(?<=^)|(?<=[\s=,\['\"(<])|(?<=:)(?!//))({_ABSOLUTE}(?:[^\s'\"()\[\],;:]|:(?=\S))+)"),
)
_PROCESS: Final = re.compile(r"\s*\((?:process |number |pid )\d+\)|(?<=process) \d+", re.IGNORECASE)


def public_text(text: str, names: Mapping[str, str]) -> str:
    """A message without paths of this machine: known folders by their names, of others the last part.

    Parameters
    ----------
    text : str
    names : mapping
        What to call known folders, by their absolute paths; "" leaves a folder out, with the separator after it.

    Examples
    --------
    >>> public_text("/home/ann/x/catalog.sqlite is damaged", {"/home/ann/x": "holiday"})
    'holiday/catalog.sqlite is damaged'
    >>> public_text("a link to a folder (/home/ann/my pictures)", {})
    'a link to a folder (my pictures)'
    """
    text = text[:LONGEST]
    for path in sorted(filter(None, names), key=len, reverse=True):
        end = r"(?![^\s/\\'\":;,.)\]])" if names[path] else r"[/\\]"
        text = re.sub(re.escape(path) + end, names[path].replace("\\", r"\\"), text)
    for pattern in _PATHS:
        text = pattern.sub(lambda found: re.split(r"[\\/]", found[1].rstrip("\\/"))[-1], text)
    return _PROCESS.sub("", text)


def public_error(error: BaseException, names: Mapping[str, str]) -> str:
    """The message of an error, for people over the network."""
    text = str(error)
    for cause in _causes(error):
        if isinstance(cause, sqlite3.Error | UnicodeDecodeError) and str(cause):
            text = text.replace(f" ({cause})", "").replace(f": {cause}", "")
    return public_text(text, names)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors behind an error, those that are not to be printed included."""
    seen: set[int] = set()
    at: BaseException | None = error.__cause__ or error.__context__
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
