"""gradio on a server's root: a page of its own components, or nothing but what its clients ask for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lookalike.app.capacity import Capacity
from lookalike.app.gradio.uploads import Uploads, run_folder
from lookalike.app.guard.guard import MAX_UPLOAD
from lookalike.app.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio import Blocks

__all__ = ["gradio_folder", "make_clients_app", "mount_page"]

_ENVIRONMENT: Final = threading.Lock()  # one variable for all servers of this process
QUEUE: Final = 64  # of gradio's own: what waits there beside the searches of the API


def mount_page(app: FastAPI, service: Service, uploads: Uploads, capacity: Capacity, *, simple: bool) -> FastAPI:
    """Put a page of gradio's components at ``/`` of an application: the plain one, or the one with all ways of asking."""

    def make() -> Blocks:
        from lookalike.app.gradio.blocks import create_blocks
        from lookalike.app.gradio.simple import create_simple

        return create_simple(service, uploads, capacity) if simple else create_blocks(service, uploads, capacity)

    return _mounted(app, make, uploads)


def make_clients_app(service: Service, uploads: Uploads, capacity: Capacity) -> FastAPI:
    """An application that answers gradio's clients (`remote.py`), and has no page."""
    from fastapi import FastAPI

    from lookalike.app.gradio.remote import create_remote

    return _mounted(FastAPI(), lambda: create_remote(service, capacity), uploads)


def _mounted(app: FastAPI, make: Callable[[], Blocks], uploads: Uploads) -> FastAPI:
    """The application with gradio on it, made where an event loop runs: gradio makes one otherwise, which nobody closes."""

    async def mount() -> FastAPI:
        import gradio

        from lookalike.app.gradio.filedata import guard_components
        from lookalike.app.gradio.theme import create_theme

        page = make()
        page.queue(api_open=False, max_size=QUEUE)
        guard_components(page, uploads)
        mounted: FastAPI = gradio.mount_gradio_app(
            app,
            page,
            path="/",
            theme=create_theme(),
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            show_error=False,  # of an error that nobody thought of; gradio.Error is shown all the same
            max_file_size=MAX_UPLOAD,
        )
        return mounted

    folder = uploads.folder.parent  # `gradio_folder` of this server
    with _ENVIRONMENT, _keeping_in(folder), ThreadPoolExecutor(1) as elsewhere:  # a loop may be running here already
        return elsewhere.submit(asyncio.run, mount()).result()


@contextlib.contextmanager
def gradio_folder() -> Iterator[Path]:
    """Keep what gradio stores in a folder of this run, gone when the server stops, and its telemetry off."""
    with run_folder() as path:
        folder = str(path)
        wanted = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ.update(wanted)
        try:
            yield path
        finally:
            if os.environ.get("GRADIO_TEMP_DIR") == folder:  # else another server of this process has its own by now
                del os.environ["GRADIO_TEMP_DIR"]
                if before is not None and Path(before).is_dir():
                    os.environ["GRADIO_TEMP_DIR"] = before


@contextlib.contextmanager
def _keeping_in(folder: Path) -> Iterator[None]:
    """Let what gradio makes meanwhile keep its files in this folder, whichever server of this process was started last."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
