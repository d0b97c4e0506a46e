"""The app: a page to search pictures with pictures, and a REST API, both on this machine."""

from __future__ import annotations

from lookalike.app.server import AppServer, serve

__all__ = ["AppServer", "serve"]
