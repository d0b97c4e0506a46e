"""The content security policy: what a page may load and run. Nothing may come from, or go to, another machine."""

from __future__ import annotations

from typing import Final

__all__ = ["GRADIO_POLICY", "POLICY", "page_policy"]


def _policy(scripts: str, styles: str) -> str:
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' {scripts}",
            f"style-src 'self' {styles}",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


POLICY: Final = _policy("", "")
# gradio's page runs inline scripts and compiles the templates of its HTML components.
GRADIO_POLICY: Final = _policy("'unsafe-inline' 'unsafe-eval'", "'unsafe-inline'")


def page_policy() -> str:
    """That of our own page, where nothing inline runs but the scripts of a report in its frame, each known by its SHA-256.

    A frame without an address obeys the policy of the page around it besides its own.
    """
    from lookalike.viz.report import hashes

    scripts, style = hashes()
    return _policy(" ".join(scripts), style)
