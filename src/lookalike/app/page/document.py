"""The page: HTML that is written once, with its own style and scripts (``static/``).

The scripts talk to ``/api``, where pictures go by id and results can be many. Nothing stands inside the HTML that runs.
"""

from __future__ import annotations

import hashlib
import html
import json
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from lookalike.app.guard.guard import MAX_UPLOAD
from lookalike.app.limits import MAX_K

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from lookalike.app.service import Service

__all__ = ["DEFAULT_K", "add_files", "add_page", "write_page"]

STATIC: Final = Path(__file__).with_name("static")
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

DEFAULT_K: Final = 12

# Two overlapping cards: a picture and the one that looks like it.
LOGO: Final = (
    '<svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true" class="lk-logo">'
    '<rect x="3" y="3" width="19" height="19" rx="5.5"/><rect x="10" y="10" width="19" height="19" rx="5.5"/></svg>'
)


def _icon(*paths: str) -> str:
    drawn = "".join(f'<path d="{path}"/>' for path in paths)
    return f'<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" class="lk-icon">{drawn}</svg>'


_PICTURE: Final = _icon("M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 9.5h.01")
_PASTE: Final = _icon("M9 4h6v3H9z", "M9 5.5H6V20h12V5.5h-3")
_CAMERA: Final = _icon("M4 8h4l1.5-2.5h5L16 8h4v11H4z", "M12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z")
_CLOSE: Final = _icon("M6 6l12 12", "M18 6L6 18")
_MOON: Final = _icon("M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z")
_FOLDERS: Final = _icon("M4 7h6l2 2h8v10H4z", "M7 4h5l2 2h6")
_COPIES: Final = _icon("M4 4h11v11H4z", "M9 15v5h11V9h-5")
_CROP: Final = _icon("M7 3v14h14", "M3 7h14v14")
_BACK: Final = _icon("M14.5 5.5L8 12l6.5 6.5")
_FORWARD: Final = _icon("M9.5 5.5L16 12l-6.5 6.5")
_GRID: Final = _icon("M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z")
_FILTER: Final = _icon("M4 6h16", "M7 12h10", "M10 18h4")
_SEARCH: Final = _icon("M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "M15.5 15.5L20 20")

HEADER: Final = f"""
<header class="lk-header" id="lk-top">
  {LOGO}<h1>lookalike</h1><p>Search your pictures with a picture. Nothing leaves this machine.</p>
  <button type="button" class="lk-button is-quiet" id="lk-duplicates">{_COPIES}<span>Duplicates</span></button>
  <button type="button" class="lk-button is-quiet" id="lk-collections">{_FOLDERS}<span>Collections</span></button>
  <button type="button" class="lk-button is-quiet" id="lk-theme" aria-label="Light or dark" title="Light or dark">
  {_MOON}</button>
</header>"""

ASK: Final = f"""
<section aria-label="What to search with">
  <div class="lk-drop-frame">
    <label class="lk-drop">
      <input id="lk-file" type="file" accept="image/*,.heic,.heif,.avif" multiple class="lk-hidden">
      <span class="lk-drop-text">{_PICTURE}<strong>Drop a picture</strong><span>or click to choose one</span></span>
    </label>
    <button type="button" class="lk-clear" hidden aria-label="Start over" title="Start over">{_CLOSE}</button>
  </div>
  <div class="lk-query-line">
    <div class="lk-query-caption" hidden></div>
    <button type="button" class="lk-link lk-whole" hidden>{_CROP}Whole picture</button>
  </div>
  <ul class="lk-chips" aria-label="This search" hidden></ul>
  <div class="lk-ways">
    <button type="button" class="lk-button" id="lk-choose">{_PICTURE}Choose</button>
    <button type="button" class="lk-button" id="lk-paste">{_PASTE}Paste</button>
    <button type="button" class="lk-button" id="lk-camera">{_CAMERA}Camera</button>
  </div>
  <form id="lk-url-form" class="lk-url" novalidate>
    <label class="lk-hidden" for="lk-url">Words or picture URL</label>
    <input id="lk-url" type="text" autocomplete="off" spellcheck="false" enterkeyhint="search"
           placeholder="Words, or a picture's URL" maxlength="4096">
    <button type="submit" class="lk-button is-quiet" aria-label="Search with this">{_SEARCH}</button>
  </form>
</section>"""

COLLECTION: Final = f"""
<label class="lk-label" for="lk-collection-select">Collection</label>
<select id="lk-collection-select" class="lk-select"></select>
<dl id="lk-status"></dl>
<div id="lk-count" role="group" aria-labelledby="lk-count-name">
  <span class="lk-label" id="lk-count-name">Number of results</span>
  <input type="number" min="1" max="{MAX_K}" value="{DEFAULT_K}" aria-label="Number of results">
  <input type="range" min="1" max="{MAX_K}" value="{DEFAULT_K}" aria-label="Number of results, as a slider">
</div>
<section id="lk-recent" class="lk-strip" aria-label="Last searched" hidden></section>
<section id="lk-strip" class="lk-strip" aria-label="Examples" hidden></section>"""

TOOLS: Final = f"""
<div id="lk-tools">
  <div class="lk-tools-row">
    <button type="button" class="lk-button is-quiet" id="lk-back" disabled title="Previous search" aria-label="Back">
    {_BACK}</button>
    <button type="button" class="lk-button is-quiet" id="lk-forward" disabled title="Next search" aria-label="Forward">
    {_FORWARD}</button>
    <button type="button" class="lk-button" id="lk-browse" aria-pressed="false">{_GRID}All pictures</button>
    <button type="button" class="lk-button" id="lk-filter" aria-expanded="false" aria-controls="lk-filter-panel">
    {_FILTER}Filter<b id="lk-filter-count"></b></button>
    <div class="lk-tools-results">
      <label class="lk-fold"><input type="checkbox" id="lk-fold" checked>Fold copies</label>
      <label class="lk-threshold">At least <output id="lk-threshold-value" for="lk-threshold">0%</output>
        <input type="range" id="lk-threshold" min="0" max="100" step="5" value="0" aria-label="Minimum similarity"></label>
      <label class="lk-sort"><span class="lk-hidden">Order</span><select id="lk-sort" class="lk-select"></select></label>
    </div>
  </div>
  <div id="lk-filter-panel" role="group" aria-label="Filters" hidden></div>
  <ul id="lk-active" aria-label="Active filters" hidden></ul>
</div>"""

RESULTS: Final = """
<p id="lk-announce" class="lk-hidden" role="status"></p>
<section id="lk-results" aria-label="Results"><div class="lk-waiting">Loading…</div></section>"""

# In the page itself: with an address, browsers ask for it again with every search that goes into the history.
_LOGO_FILE: Final = quote((STATIC / "icon.svg").read_text(encoding="utf-8"))
_AT_ONCE: Final = ("early.js", "start.js")  # scripts that the page names itself


def write_page(service: Service) -> str:
    """The whole HTML. Scripts and styles have addresses of their own, for browsers to cache; named here, they come all at once."""
    modules = sorted(file.name for file in STATIC.glob("*.js") if file.name not in _AT_ONCE)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>lookalike</title>
<script src="lookalike/early.js"></script>
<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,{_LOGO_FILE}">
<link rel="stylesheet" href="lookalike/page.css">
<link rel="stylesheet" href="lookalike/dialogs.css">
<script type="module" src="lookalike/start.js"></script>
{"".join(f'<link rel="modulepreload" href="lookalike/{name}">' for name in modules)}
</head>
<body class="lk-page">
<noscript>This page needs JavaScript. <code>lookalike search</code> does without it.</noscript>
<div id="lk-head">{HEADER}</div>
<main id="lk-body">
<div id="lk-side">
<div id="lk-ask">{ASK}</div>
<div id="lk-about">{COLLECTION}</div>
</div>
<div id="lk-main">
<div id="lk-shell">{TOOLS}{RESULTS}</div>
{_settings(service)}
</div>
</main>
</body>
</html>
"""


def _settings(service: Service) -> str:
    """What the scripts have to know before they ask the API."""
    settings = {"collection": service.default, "max_bytes": MAX_UPLOAD}
    return f'<div id="lk-settings" hidden data-settings="{html.escape(json.dumps(settings))}"></div>'


def add_page(app: FastAPI, service: Service) -> None:
    """Put the page at ``/``."""
    from starlette.responses import HTMLResponse

    page = write_page(service).encode()

    async def show(_: Request) -> Response:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    app.add_route("/", show, methods=["GET", "HEAD"], include_in_schema=False)


def add_files(app: FastAPI) -> None:
    """Put what the page loads at ``/lookalike/…``: from memory, as a page asks for thirty files at once."""
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

    files = {file.name: file.read_bytes() for file in STATIC.iterdir() if file.suffix in TYPES}
    tags = {name: f'"{hashlib.sha256(body).hexdigest()[:32]}"' for name, body in files.items()}

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise HTTPException(404)
        headers = {"ETag": tags[name], "Cache-Control": "no-cache"}
        known = request.headers.get("if-none-match", "")
        if tags[name] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(files[name], media_type=TYPES[PurePath(name).suffix], headers=headers)

    app.add_route("/lookalike/{name:path}", show, methods=["GET", "HEAD"], include_in_schema=False)
