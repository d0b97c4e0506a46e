"""gradio's application, made when one of its clients asks for the first time: loading gradio takes seconds and 60 MB."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException

from lookalike.app.gradio.filedata import OURS

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Later"]

CONFIG: Final = "/config"  # what a client asks for first
ROUTES: Final = "/gradio_api/"
PATIENCE: Final = 1.0  # seconds; clients wait five for the next byte


class Later:
    """An ASGI application at the end of another one's routes, made when it is first asked; its lifespan begins then.

    Parameters
    ----------
    make : callable
        Gives the application; called in a thread, and again if it failed.
    """

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._ended = asyncio.Event()
        self._begun: asyncio.Future[FastAPI] | None = None
        self._life: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/" or path.startswith(OURS):  # answered elsewhere, for the methods that they have
            raise HTTPException(405)
        if path != CONFIG and not path.startswith(ROUTES):
            raise HTTPException(404)
        begun = self._begin()
        if not begun.done() and path == CONFIG and scope["method"] == "GET":
            send = await _keep_waiting(begun, send)
        try:
            app = await asyncio.shield(begun)
        except asyncio.CancelledError:
            if begun.done():
                raise
            raise HTTPException(503, "the server is being stopped") from None
        await app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """For the application that this one is a part of."""
        try:
            yield
        finally:
            self._ended.set()
            if self._life is not None:
                if self._begun is None or not self._begun.done():
                    self._life.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._life

    def _begin(self) -> asyncio.Future[FastAPI]:
        if self._ended.is_set():
            raise HTTPException(503, "the server is being stopped")
        if self._begun is None or (self._begun.done() and self._begun.exception() is not None):
            self._begun = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._begun))
        return self._begun

    async def _live(self, begun: asyncio.Future[FastAPI]) -> None:
        """The application's lifespan, in one task from beginning to end: it may hold what only that task can give up."""
        try:
            app = await _in_a_daemon(self._make)
            async with app.router.lifespan_context(app):
                begun.set_result(app)
                await self._ended.wait()
        except Exception as error:
            if begun.done():
                raise
            begun.set_exception(error)


async def _in_a_daemon(make: Callable[[], FastAPI]) -> FastAPI:
    """`make()` in a thread that does not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[FastAPI] = loop.create_future()

    def tell(set_it: Callable[[Any], None], value: Any) -> None:
        if not made.done():
            set_it(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = made.set_result, make()
        except Exception as error:  # noqa: BLE001 - who asked is told, and the log
            outcome = made.set_exception, error
        except SystemExit as error:  # which would end the server's loop
            outcome = made.set_exception, RuntimeError(f"gradio wants to end the program: {error}")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="lookalike-gradio", daemon=True).start()
    return await made


async def _keep_waiting(begun: asyncio.Future[FastAPI], send: Any) -> Any:
    """Send a space now and then, with which JSON may begin, so that the client does not give up; what sends the rest."""
    done, _ = await asyncio.wait({begun}, timeout=PATIENCE)
    if done:
        return send
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while not done:
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        done, _ = await asyncio.wait({begun}, timeout=PATIENCE)

    async def rest(message: Any) -> None:
        if message["type"] != "http.response.start":
            await send(message)

    return rest
