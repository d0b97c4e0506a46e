"""Running the app: one uvicorn server, its socket bound before anything heavy is loaded."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from lookalike.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import uvicorn

    from lookalike.app.gradio.uploads import Uploads
    from lookalike.app.service import Service

__all__ = ["DEFAULT_PORT", "AppServer", "create_app", "serve"]

DEFAULT_PORT: Final = 7860
PORTS_TRIED: Final = 20
GRACE_SECONDS: Final = 2


def serve(
    collection: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    auth: str | None = None,
    open_browser: bool = False,
    on_ready: Callable[[str], None] | None = None,
    tokens: Sequence[str] = (),
    trusted_hosts: Sequence[str] = (),
    simple: bool = False,
    gradio: bool = False,
) -> None:
    """Serve the app and the REST API until Ctrl-C.

    Parameters
    ----------
    collection : path
        The collection shown first; the others of this user can be chosen in the app.
    host : str
        An address of this machine. All but loopback need `auth`.
    port : int, optional
        0 takes any free one. Without it, the first free port from 7860 on.
    auth : str, optional
        ``"USER:PASSWORD"``, asked for on every route.
    open_browser : bool
        Show the app in the user's browser.
    on_ready : callable, optional
        Called with the address as soon as requests are answered. It holds the server's secret, where there is one.
    tokens : sequence of str
        Each lets a program in to the REST API, as ``Authorization: Bearer TOKEN``.
    trusted_hosts : sequence of str
        Names under which a reverse proxy passes requests on; needs `auth` or a token.
    simple : bool
        Serve the plain page, a gradio Interface, in place of the app's own.
    gradio : bool
        Serve the page of gradio's components (Blocks) in place of the app's own.

    Raises
    ------
    InputError
        If the port is taken, the host is not one of this machine, or `auth` is missing or not of that form.
    CollectionError
        If the collection cannot be opened.
    MissingExtraError
        Without ``pip install 'lookalike[app]'``.
    """

    def ready(url: str) -> None:
        if on_ready is not None:
            on_ready(url)
        if open_browser:
            webbrowser.open(server.opening)

    with AppServer(
        collection,
        host=host,
        port=port,
        auth=auth,
        on_ready=ready,
        threaded=False,
        tokens=tokens,
        trusted_hosts=trusted_hosts,
        simple=simple,
        gradio=gradio,
    ) as server:
        server.run()


class AppServer:
    """The app on a socket, for a ``with`` statement; in a thread, so that its user can go on.

    Parameters
    ----------
    collection : path
    host, port, auth, tokens, trusted_hosts, simple, gradio
        As in `serve`; port 0 takes any free one.
    fetch : callable, optional
        Replaces how pictures at URLs are fetched; for tests.
    max_upload : int, optional
        Bytes of a request's body.
    patience : float, optional
        Seconds that the head of a request, or the next piece of its body, may take to arrive.

    Attributes
    ----------
    url : str
        Address of the page, with a slash at its end.
    token : str or None
        The secret that is needed to look through folders, index them and delete collections; new with each start. None
        where nobody may, because other machines can reach the server.
    address : str
        What a person opens: `url` with the token.
    opening : str
        What a browser is started with: like `address`, but good for one visit of this account.

    Examples
    --------
    >>> with AppServer("holiday.lookalike") as server:  # doctest: +SKIP
    ...     print(server.url)
    http://127.0.0.1:40123/
    """

    def __init__(
        self,
        collection: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int | None = 0,
        auth: str | None = None,
        fetch: Callable[[str], bytes] | None = None,
        max_upload: int | None = None,
        patience: float | None = None,
        on_ready: Callable[[str], None] | None = None,
        threaded: bool = True,
        tokens: Sequence[str] = (),
        trusted_hosts: Sequence[str] = (),
        simple: bool = False,
        gradio: bool = False,
    ) -> None:
        if simple and gradio:
            raise InputError("simple and gradio are two pages; choose one")
        self._collection, self._on_ready, self._threaded = collection, on_ready, threaded
        self._simple, self._gradio = simple, gradio
        self._options: dict[str, Any] = {
            "host": host,
            "auth": auth,
            "tokens": tokens,
            "trusted_hosts": trusted_hosts,
            "gradio_page": simple or gradio,
        }
        if max_upload is not None:
            self._options["max_upload"] = max_upload
        if patience is not None:
            self._options["patience"] = patience
        self._patience = patience
        self._fetch: dict[str, Any] = {"fetch": fetch} if fetch is not None else {}
        self._host, self._port = host, port
        self._cleanup = contextlib.ExitStack()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()
        self._ended.set()

    def run(self) -> None:
        """Answer requests until Ctrl-C."""
        self._server.run(sockets=[self._socket])

    def _start(self, stack: contextlib.ExitStack) -> None:
        _check_extra()
        from lookalike.app.gradio.mount import gradio_folder
        from lookalike.app.gradio.uploads import Uploads
        from lookalike.app.guard.attempts import Attempts
        from lookalike.app.guard.guard import Guard, is_loopback
        from lookalike.app.guard.secret import PARAMETER, Secret
        from lookalike.app.service import Service

        Guard(_nothing, port=0, **self._options)  # says what is wrong before anything is opened
        local = is_loopback(self._host) and not self._options["trusted_hosts"]
        service = Service(self._collection, local=local, **self._fetch)
        stack.callback(service.close)
        self._socket = stack.enter_context(bind(self._host, self._port))
        port: int = self._socket.getsockname()[1]
        self.url = f"http://{_shown(self._host)}:{port}/"
        secret = Secret(port) if local else None
        self.token = secret and secret.token
        self.address = f"{self.url}?{PARAMETER}={secret.token}" if secret else self.url
        self.opening = f"{self.url}?{PARAMETER}={secret.ticket}" if secret else self.url
        folder = stack.enter_context(gradio_folder())
        uploads = Uploads(folder / "uploads")
        stack.enter_context(uploads.swept())
        app = create_app(service, uploads, simple=self._simple, gradio=self._gradio)
        app = Attempts(Guard(app, port=port, secret=secret, **self._options))
        started = threading.Event()

        def ready() -> None:
            started.set()
            if self._on_ready is not None:
                self._on_ready(self.address)

        def warm() -> None:  # when the page can be loaded, for which the cores are free until then
            started.wait()
            if self._server.started and not self._server.should_exit:
                service.warm()

        self._server = _uvicorn(app, ready, self._patience, self._ended)
        warming = threading.Thread(target=warm, name="lookalike-warm", daemon=True)
        warming.start()
        stack.callback(warming.join)
        stack.callback(started.set)
        if self._threaded:
            self._thread = threading.Thread(target=self.run, name="lookalike-app")
            self._thread.start()
            stack.callback(self._stop)
            if not started.wait(60):
                raise TimeoutError("the app did not start within a minute")

    def _stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()


def create_app(service: Service, uploads: Uploads, *, simple: bool = False, gradio: bool = False) -> Any:
    """The page and the API as one ASGI app, not guarded yet: put a `Guard` in front of it."""
    from fastapi import FastAPI

    from lookalike.app.api.build import create_api
    from lookalike.app.api.errors import handle_errors
    from lookalike.app.capacity import Capacity
    from lookalike.app.gradio.filedata import CheckedFiles, add_files
    from lookalike.app.gradio.later import Later
    from lookalike.app.gradio.mount import make_clients_app, mount_page
    from lookalike.app.page import document as page

    capacity = Capacity()
    later = Later(lambda: make_clients_app(service, uploads, capacity))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=later.lifespan)
    handle_errors(app, service)
    app.mount("/api", create_api(service, capacity))
    page.add_files(app)
    app.add_middleware(CheckedFiles, uploads=uploads)
    add_files(app, uploads)
    if simple or gradio:
        mount_page(app, service, uploads, capacity, simple=simple)
    else:
        page.add_page(app, service)
        app.mount("/", later)
    app.add_middleware(capacity.held.around)
    return app


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket, so that nobody else can take the port between looking and using.

    Raises
    ------
    InputError
        If the port is not available.
    """
    if port is not None and not 0 <= port <= 65535:
        raise InputError(f"port: expected 0 to 65535, got {port}")
    address = "127.0.0.1" if host.lower() == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)]
    for number in wanted:
        try:
            return socket.create_server((address, number), family=family, backlog=128)
        except socket.gaierror:
            raise InputError(f"host {host!r} is not an address of this machine") from None
        except PermissionError:
            raise InputError(f"port {number} is reserved for the system; choose one from 1024 on") from None
        except OSError as error:
            if error.errno not in _TAKEN:
                raise InputError(f"cannot listen on {host} port {number}: {error.strerror}") from None
    taken = f"port {wanted[0]} is" if len(wanted) == 1 else f"ports {wanted[0]} to {wanted[-1]} are"
    raise InputError(f"{taken} taken by another program; choose another (--port), or 0 for any free one")


_TAKEN: Final = frozenset({errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)})


def _shown(host: str) -> str:
    """The host of the address that people open."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host


def _uvicorn(app: Any, ready: Callable[[], None], patience: float | None, ended: threading.Event) -> uvicorn.Server:
    import uvicorn

    from lookalike.app.ending import end_in_any_case
    from lookalike.app.guard.connections import HEAD_SECONDS, patient_protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn does, but Ctrl-C, pressed once or often, is the ordinary end and not passed on."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                end_in_any_case(ended)
            self.should_exit = True

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody's word is taken for where a request comes from
        ws="none",
        http=patient_protocol(HEAD_SECONDS if patience is None else patience),
        timeout_graceful_shutdown=GRACE_SECONDS,  # open pages keep a stream each
    )
    return Server(config)


def _check_extra() -> None:
    for name in ("gradio", "fastapi", "uvicorn", "multipart", "prometheus_client"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"the app needs {name}, which is not installed; pip install 'lookalike[app]'")


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """An app that is never asked."""
