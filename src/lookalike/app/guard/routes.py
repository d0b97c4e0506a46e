"""Which paths are answered at all; of gradio's, those that its clients or its page need."""

from __future__ import annotations

__all__ = ["is_served"]

PAGES = frozenset({"/", "/config"})  # "/config" is what gradio's clients begin with
FOLDERS = ("/api/", "/lookalike/")
# Of gradio's routes: its queue and uploads for its clients; where the page is gradio's, what that loads, and its files too.
GRADIO = "/gradio_api/"
GRADIO_ROUTES = frozenset({"info", "app_id", "queue/join", "queue/data", "cancel", "reset", "upload"})
GRADIO_FOLDERS = ("call/", "run/", "heartbeat/")
GRADIO_PAGE = frozenset(
    {"/theme.css", "/manifest.json", "/favicon.ico", "/robots.txt", "/gradio_api/openapi.json"}
    | {"/gradio_api/startup-events", "/gradio_api/theme.css"}
)
GRADIO_PAGE_FOLDERS = ("/assets/", "/static/", "/svelte/", "/gradio_api/file=", "/gradio_api/file/")


def is_served(path: str, gradio_page: bool) -> bool:
    if any(c < " " for c in path):  # routes are matched line by line
        return False
    if path in PAGES or path.startswith(FOLDERS):
        return True
    if gradio_page and (path in GRADIO_PAGE or path.startswith(GRADIO_PAGE_FOLDERS)):
        return True
    rest = path.removeprefix(GRADIO) if path.startswith(GRADIO) else ""
    return rest.rstrip("/") in GRADIO_ROUTES or rest.startswith(GRADIO_FOLDERS)
