"""The command line: parse, call, print. What the commands do lives in the layers below."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``lookalike``; exits with 0, 1 (one clear line on stderr) or 2 (usage)."""
    try:
        from lookalike.cli import console
        from lookalike.cli.commands import app

        console.prepare()
        app(prog_name="lookalike")
    except KeyboardInterrupt:  # so early that no command had begun
        raise SystemExit(1) from None
