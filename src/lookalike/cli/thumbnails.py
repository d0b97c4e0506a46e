"""Small pictures beside the results, in terminals that say they can show them (kitty's and iTerm2's protocols)."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lookalike.errors import ImageError

__all__ = ["escape", "protocol", "show"]

Protocol = Literal["kitty", "iterm2"]

_SIDE = 96
_CHUNK = 4096  # of base64, the most that kitty takes in one escape sequence


def protocol(environ: Mapping[str, str] = os.environ) -> Protocol | None:
    """What the terminal on stdout understands, going by the variables that it sets itself."""
    if not sys.stdout.isatty() or "TMUX" in environ or environ.get("TERM", "").startswith("screen"):
        return None
    if "KITTY_WINDOW_ID" in environ or environ.get("TERM_PROGRAM") == "ghostty":
        return "kitty"
    if environ.get("TERM_PROGRAM") in {"iTerm.app", "WezTerm"} or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return None


def show(path: Path, kind: Protocol) -> None:
    """Draw the picture at the cursor; nothing where it cannot be read, since its line follows anyway."""
    from lookalike.features.images import thumbnail

    try:
        jpeg = thumbnail(path, _SIDE)
    except (ImageError, OSError):
        return
    sys.stdout.write(escape(jpeg, kind) + "\n")


def escape(jpeg: bytes, kind: Protocol) -> str:
    """The escape sequences that draw `jpeg`."""
    if kind == "iterm2":
        data = base64.b64encode(jpeg).decode("ascii")
        return f"\x1b]1337;File=inline=1;size={len(jpeg)};preserveAspectRatio=1:{data}\a"
    data = base64.b64encode(_png(jpeg)).decode("ascii")
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        head = "a=T,f=100,q=2," if number == 0 else ""
        parts.append(f"\x1b_G{head}m={int(number < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def _png(jpeg: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as picture, io.BytesIO() as png:
        picture.save(png, "PNG")
        return png.getvalue()
