"""The colours of gradio's pages: those of our own page (static/page.css)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradio.themes import Base

__all__ = ["create_theme"]


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
        block_shadow="none",
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
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        layout_gap="20px",
    )
    return themed
