"""The page: gradio Blocks as its shell, with the app's own markup, style and scripts inside.

gradio brings the page, the theme, the choice of the collection and the number of results. Asking and showing are our
own (``static/``): they talk to ``/api``, where pictures go by id and results can be many.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, Final

from lookalike.app.guard import MAX_UPLOAD
from lookalike.app.remote import add_remote_search
from lookalike.app.service import MAX_K, Service

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio.themes import Base

__all__ = ["DEFAULT_K", "HEAD", "create_page", "create_theme"]

DEFAULT_K: Final = 12
SLIDER_K: Final = min(100, MAX_K)

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
<section aria-label="Picture to search with">
  <div class="lk-drop-frame">
    <label class="lk-drop">
      <input id="lk-file" type="file" accept="image/*,.heic,.heif,.avif" class="lk-hidden">
      <img class="lk-query-picture" alt="">
      <span class="lk-drop-text">{_PICTURE}<strong>Drop a picture</strong><span>or click to choose one</span></span>
    </label>
    <button type="button" class="lk-clear" hidden aria-label="Start over" title="Start over">{_CLOSE}</button>
  </div>
  <div class="lk-query-caption" hidden></div>
  <div class="lk-ways">
    <button type="button" class="lk-button" id="lk-paste">{_PASTE}Paste</button>
    <button type="button" class="lk-button" id="lk-camera">{_CAMERA}Camera</button>
  </div>
  <form id="lk-url-form" class="lk-url" novalidate>
    <label class="lk-hidden" for="lk-url">Picture URL</label>
    <input id="lk-url" type="text" inputmode="url" autocomplete="off" spellcheck="false"
           placeholder="Paste a picture's URL" maxlength="4096">
    <button type="submit" class="lk-button is-quiet" aria-label="Search with this URL">{_SEARCH}</button>
  </form>
</section>"""

RESULTS: Final = """
<p id="lk-announce" class="lk-hidden" role="status"></p>
<section id="lk-results" aria-label="Results"><div class="lk-waiting">Loading…</div></section>"""

# The stylesheet and the scripts have their own addresses, so that browsers cache them.
HEAD: Final = """
<link rel="stylesheet" href="lookalike/page.css">
<link rel="stylesheet" href="lookalike/keeping.css">
<link rel="icon" type="image/svg+xml" href="lookalike/icon.svg">
<link rel="modulepreload" href="lookalike/main.js">"""

START: Final = """
import(new URL("lookalike/main.js", document.baseURI).href).then((page) => page.start(element));
"""


def create_page(service: Service) -> Blocks:
    """The Blocks of the page."""
    import gradio

    with gradio.Blocks(title="lookalike", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as page:
        gradio.HTML(HEADER, elem_id="lk-head", js_on_load=None, apply_default_css=False)
        with gradio.Row(elem_id="lk-body", equal_height=False):
            with gradio.Column(elem_id="lk-side", min_width=0):
                gradio.HTML(ASK, elem_id="lk-ask", js_on_load=None, apply_default_css=False)
                collection = gradio.Dropdown(
                    service.names(), value=service.default, label="Collection", elem_id="lk-collection"
                )
                gradio.HTML('<dl id="lk-status"></dl>', js_on_load=None, apply_default_css=False)
                count = gradio.Slider(
                    1, SLIDER_K, value=DEFAULT_K, step=1, label="Number of results", elem_id="lk-count", buttons=[]
                )
                gradio.HTML(
                    '<section id="lk-strip" aria-label="Examples" hidden></section>',
                    js_on_load=None,
                    apply_default_css=False,
                )
            with gradio.Column(elem_id="lk-main", min_width=0):
                gradio.HTML(RESULTS + _settings(service), elem_id="lk-shell", js_on_load=START, apply_default_css=False)
        add_remote_search(service)
        collection.change(None, collection, js="(name) => { window.lookalike?.setCollection(name); }")
        count.change(None, count, js="(k) => { window.lookalike?.setCount(k); }")
        page.load(
            lambda: gradio.Dropdown(choices=service.names()), None, collection, queue=False, show_progress="hidden"
        )
    return page


def _settings(service: Service) -> str:
    """What the scripts have to know before they ask the API."""
    settings = {"collection": service.default, "k": DEFAULT_K, "max_bytes": MAX_UPLOAD}
    return f'<div id="lk-settings" hidden data-settings="{html.escape(json.dumps(settings))}"></div>'


def create_theme() -> Base:
    """Neutral paper and ink with one accent, in the system's own letters: pictures bring the colours."""
    from gradio.themes import Base
    from gradio.themes.utils import colors, sizes

    theme: Any = Base(
        primary_hue=colors.teal,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_lg,
        font=["system-ui", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )
    themed: Base = theme.set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#141312",
        body_text_color="#1f1d1a",
        body_text_color_dark="#ece9e4",
        body_text_color_subdued="#66615a",
        body_text_color_subdued_dark="#a8a299",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1d1b19",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        border_color_primary="#e4e0da",
        border_color_primary_dark="#35322e",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1d1b19",
        input_border_color="#d5d0c8",
        input_border_color_dark="#423e39",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px #0f766e33",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        layout_gap="20px",
    )
    return themed
