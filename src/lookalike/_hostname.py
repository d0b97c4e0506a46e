"""Addresses of the web: which texts are one, and host names with letters beyond ASCII as they are looked up.

That is IDNA 2008, as browsers read it (UTS 46). Python's own ``idna`` codec is of 2003: it asks ``straße.example`` as
``strasse.example``, which may be somebody else's. Nothing is judged here: whether a name can exist is up to its registry.
"""

from __future__ import annotations

import re
import stringprep
import unicodedata
from typing import Final

__all__ = ["ascii_host", "is_url"]

MAX_LABEL: Final = 63
_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")
_AS_THEY_ARE: Final = frozenset("ßς")  # letters of their own since 2008
_JOINERS: Final = frozenset("\u200c\u200d")  # no letters; they change how those beside them are drawn
_VIRAMA: Final = 9  # combining class
_BLANKS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u180f\u3164\uffa0")  # letters of which nothing is seen
_REFUSED: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})


def is_url(text: str) -> bool:
    """Whether a text is the address of something on the web, and no path.

    Examples
    --------
    >>> is_url("HTTPS://a.example/b.jpg"), is_url("a.jpg")
    (True, False)
    """
    return text.lower().startswith(("http://", "https://"))


def ascii_host(host: str) -> str:
    """A host name in ASCII and lower case.

    Raises
    ------
    UnicodeError
        If it holds what no host name holds.

    Examples
    --------
    >>> ascii_host("Straße.example"), ascii_host("BÜCHER。example")
    ('xn--strae-oqa.example', 'xn--bcher-kva.example')
    """
    *labels, last = _DOTS.split(host)
    if not all(labels) or not (labels or last):
        raise UnicodeError("a part of the host name is empty")
    return ".".join(map(_label, [*labels, last]))


def _label(label: str) -> str:
    if label.isascii():
        return _checked(label.lower())
    mapped = unicodedata.normalize("NFC", "".join(map(_mapped, unicodedata.normalize("NFC", label))))
    if mapped.isascii():
        if mapped.startswith("xn--") or not re.fullmatch(r"[a-z0-9_-]+", mapped):
            raise UnicodeError(f"{label!r} is ASCII in disguise")
        return _checked(mapped)
    for at, char in enumerate(mapped):
        if char in _JOINERS:
            _check_joiner(mapped, at)
        elif (
            char in _BLANKS
            or unicodedata.category(char) in _REFUSED
            or (char.isascii() and not re.match(r"[a-z0-9_-]", char))
        ):
            raise UnicodeError(f"{char!r} cannot stand in a host name")
    if unicodedata.category(mapped[0]).startswith("M"):
        raise UnicodeError("a host name cannot begin with an accent")
    return _checked("xn--" + mapped.encode("punycode").decode("ascii"))


def _mapped(char: str) -> str:
    """A character as it is looked up: small, in its plain form, and nothing for those that are not seen."""
    if char in _AS_THEY_ARE or char in _JOINERS:
        return char
    if char == "\u1e9e":  # the capital of ß
        return "ß"
    if stringprep.in_table_b1(char):
        return ""
    plain = unicodedata.normalize("NFKC", char)
    return unicodedata.normalize("NFKC", plain.casefold())


def _check_joiner(label: str, at: int) -> None:
    """Joiners belong after a virama, the first also between letters of scripts such as Arabic (RFC 5892, appendix A)."""
    before, after = label[at - 1] if at else "", label[at + 1] if at + 1 < len(label) else ""
    if before and unicodedata.combining(before) == _VIRAMA:
        return
    joins = before and after and unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    if label[at] != "\u200c" or not joins:
        raise UnicodeError("an invisible character cannot stand in a host name")


def _checked(label: str) -> str:
    if len(label) > MAX_LABEL:
        raise UnicodeError(f"a part of a host name has at most {MAX_LABEL} characters")
    return label
