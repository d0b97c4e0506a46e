"""gradio on the server's root: the app's page, or the simple one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from lookalike.app.capacity import Capacity
from lookalike.app.guard import MAX_UPLOAD
from lookalike.app.service import Service
from lookalike.app.uploads import Uploads

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["mount_page"]

QUEUE: Final = 64  # of gradio's own: what waits there beside the searches of the API


def mount_page(
    app: FastAPI, service: Service, uploads: Uploads, capacity: Capacity, *, simple: bool = False
) -> FastAPI:
    """Put the page at ``/`` of an application.

    gradio makes event loops that nobody closes, except where one runs: so it is given one.
    """

    async def mount() -> FastAPI:
        return _mount(app, service, uploads, capacity, simple)

    with ThreadPoolExecutor(1) as elsewhere:  # a loop may be running here already
        return elsewhere.submit(asyncio.run, mount()).result()


def _mount(app: FastAPI, service: Service, uploads: Uploads, capacity: Capacity, simple: bool) -> FastAPI:
    import gradio

    from lookalike.app.filedata import CheckedFiles, add_files, guard_components
    from lookalike.app.simple import create_simple
    from lookalike.app.ui import HEAD, create_page, create_theme

    page = create_simple(service, uploads, capacity) if simple else create_page(service, capacity)
    page.queue(api_open=False, max_size=QUEUE)
    guard_components(page, uploads)
    app.add_middleware(CheckedFiles, uploads=uploads)
    add_files(app, uploads)
    mounted: FastAPI = gradio.mount_gradio_app(
        app,
        page,
        path="/",
        theme=create_theme(),
        head=None if simple else HEAD,
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
