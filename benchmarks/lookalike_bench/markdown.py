"""The reports' Markdown: tables, and the whole as one HTML file (headings, paragraphs, lists, tables, pictures, nothing else)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence

__all__ = ["table", "to_html"]

_STYLE = """\
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #d9d9d9; --soft: #f4f4f4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #151515; --line: #3a3a3a; --soft: #202020 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; background: #fff; border-radius: 6px } code { background: var(--soft); padding: 0 .2em }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 14px } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left }
th { background: var(--soft) } li { overflow-wrap: anywhere }"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; no cell may have a bar or a line break in it."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def to_html(markdown: str, picture: Callable[[str], str]) -> str:
    """One page; `picture` gives the address of a picture from its name."""
    title = markdown.split("\n", 1)[0].lstrip("# ")
    body = "\n".join(_block(block, picture) for block in re.split(r"\n{2,}", markdown.strip()))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _block(block: str, picture: Callable[[str], str]) -> str:
    if found := re.fullmatch(r"(#{1,3}) (.+)", block):
        level = len(found[1])
        return f"<h{level}>{_inline(found[2])}</h{level}>"
    if found := re.fullmatch(r"!\[(.*)\]\(([^()]+)\)", block):
        return f'<img src="{html.escape(picture(found[2]))}" alt="{html.escape(found[1])}">'
    lines = block.split("\n")
    if all(line.startswith("|") for line in lines):
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        cells = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
        body = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f'<div class="wide"><table><tr>{cells}</tr>{body}</table></div>'
    if all(line.startswith("- ") for line in lines):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    safe = html.escape(text, quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
