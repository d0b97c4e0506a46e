"""One self-contained HTML file out of views: their data, the pictures, and the scripts that draw them.

A view is drawn by a script in ``static/view-<kind>.js``, which registers a function under its kind:

    lookalike.view("cells", (stage, data, page) => { … })

`stage` is an empty element of the page's width, `data` what the `View` holds, `page` the shell (``static/shell.js``): documents,
pictures, tooltips, colour scales, the shared selection and the player. A new view is such a script and a `View` of that kind;
`assemble` puts in only the scripts of the kinds it is given.

The file needs nothing from anywhere. Its content security policy names the SHA-256 of each script and style in it, so nothing else
runs, whatever a picture is called; data stands in ``<script type="application/json">`` with ``<``, ``>`` and ``&`` escaped.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike._typing import PathLike

__all__ = ["Page", "View", "assemble", "hashes", "to_json"]

STATIC = Path(__file__).parent / "static"
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
_START = "lookalike.start();"
_CREDITS = "Drawn with D3 7.9.0, © 2010–2023 Mike Bostock, ISC licence."


@dataclass(frozen=True)
class View:
    """One view of a page.

    Attributes
    ----------
    id : str
        Of the element, for links; letters, digits and hyphens.
    kind : str
        Which script draws it: ``static/view-<kind>.js``.
    title : str
    lead : str
        A line above it; may be empty.
    sentence : str
        What one sees, below it.
    data : dict
        What the script draws: plain values for JSON. Infinite and missing numbers become null.
    """

    id: str
    kind: str
    title: str
    sentence: str
    data: Mapping[str, Any] = field(default_factory=dict)
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A finished page. In a notebook it shows itself."""

    html: str = field(repr=False)

    def __str__(self) -> str:
        return self.html

    def save(self, path: PathLike) -> Path:
        """Write the page to a file, atomically; returns its path."""
        from lookalike._files import atomic_write

        target = Path(path)
        with atomic_write(target) as file:
            file.write(self.html.encode())
        return target

    def _repr_html_(self) -> str:
        quoted = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{quoted}" style="width: 100%; height: 760px; border: 0" title="lookalike"></iframe>'


def assemble(
    title: str,
    views: Sequence[View],
    *,
    lead: str = "",
    notes: Sequence[str] = (),
    documents: Mapping[str, Any] | None = None,
    pictures: Mapping[Any, Mapping[str, Any]] | None = None,
    ask: tuple[str, str] | None = None,
) -> Page:
    """Put views into one page.

    Parameters
    ----------
    title : str
    views : sequence of View
        In the order of the page.
    lead : str
        A sentence below the title.
    notes : sequence of str
        What a reader must know, such as that something was sampled.
    documents : mapping of id to value, optional
        Embedded as JSON under these element ids, for `page.document(id)` and for other tools.
    pictures : mapping of id to {"name", "src"}, optional
        What `page.picture(id)` knows; ``src`` is a ``data:`` URI, and is left out where there is no thumbnail.
    ask : (str, str), optional
        What stands before and after an id in the command that searches from that picture or vector; offered to whoever
        chooses one. An app that shows the page in a frame is asked instead.
    """
    scripts = [_source("d3.min.js"), _source("shell.js")]
    scripts += [_source(f"view-{kind}.js") for kind in dict.fromkeys(view.kind for view in views)]
    scripts.append(_START)
    style = _source("shell.css")
    command = {} if ask is None else {"ask": {"before": ask[0], "after": ask[1]}}
    data = {
        **(documents or {}),
        **command,
        "pictures": dict(pictures or {}),
        **{f"{view.id}-data": view.data for view in views},
    }
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {' '.join(_hash(script) for script in scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>\n<style>{style}</style>\n</head>\n<body>",
        _head(title, lead, notes, views),
        "<main>",
        *(_section(view) for view in views),
        "</main>",
        f'<footer class="page-foot">Made by lookalike on this computer; the file needs no network. {_CREDITS}</footer>',
        *(
            f'<script type="application/json" id="{_text(key)}">{to_json(value)}</script>'
            for key, value in data.items()
        ),
        *(f"<script>{script}</script>" for script in scripts),
        "</body>\n</html>\n",
    ]
    return Page("\n".join(parts))


def to_json(value: Any) -> str:
    """Compact JSON that can stand inside a script element of a page; what is not finite becomes null."""
    try:  # mostly all is finite, and then there is no need to look at each number
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError):
        text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(title: str, lead: str, notes: Sequence[str], views: Sequence[View]) -> str:
    links = "".join(f'<li><a href="#{_text(view.id)}">{_text(view.title)}</a></li>' for view in views)
    return (
        f'<header class="page-head"><h1>{_text(title)}</h1>'
        '<button class="theme" type="button" aria-label="Dark colours"></button>'
        + (f'<p class="lead">{_text(lead)}</p>' if lead else "")
        + "".join(f'<p class="note">{_text(note)}</p>' for note in notes)
        + "<noscript><p>The views are drawn by the scripts in this file; allow them to see more than the data.</p></noscript>"
        + (f'<nav aria-label="Views"><ul class="contents">{links}</ul></nav>' if len(views) > 1 else "")
        + "</header>"
    )


def _section(view: View) -> str:
    name = _text(view.id)
    return (
        f'<section class="view" id="{name}" data-kind="{_text(view.kind)}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{_text(view.title)}</h2>'
        + (f'<p class="lead">{_text(view.lead)}</p>' if view.lead else "")
        + f'<div class="stage"></div><p class="sentence">{_text(view.sentence)}</p></section>'
    )


def _text(text: str) -> str:
    """Text for HTML; names that are not UTF-8 keep their odd bytes spelt out."""
    return html.escape(text.encode("utf-8", "backslashreplace").decode(), quote=True)


def hashes() -> tuple[list[str], str]:
    """All scripts that a page can hold, and its style, as a content security policy names them."""
    views = sorted(file.name for file in STATIC.glob("view-*.js"))
    scripts = [*map(_source, ["d3.min.js", "shell.js", *views]), _START]
    return [_hash(script) for script in scripts], _hash(_source("shell.css"))


@functools.cache
def _source(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8").strip()


@functools.cache
def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
