"""A web server on loopback that gives out files, in parts if asked, and fails in all the ways that servers do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What a path gives.

    `cut` says after how many bytes each of the next answers breaks off; `length` is what it claims instead of the truth. With
    `hold`, half of the body is sent, and the rest when that is set.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"1"'
    ranges: bool = True
    chunked: bool = False
    length: int | None = None
    cut: list[int] = field(default_factory=list)
    hold: threading.Event | None = None


class FileHost:
    """Answers by path; `requests` are (path, Range header) in the order in which they came."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""


@contextmanager
def file_host() -> Iterator[FileHost]:
    """The server, until the block ends."""
    host = FileHost()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            host.requests.append((self.path, self.headers.get("Range")))
            self.close_connection = True
            with suppress(ConnectionError):  # the client had enough
                _send(self, host.answers.get(self.path, Answer(b"there is no such file", 404)))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    start = _start(handler, answer)
    body = answer.body[start:]
    if start and start >= len(answer.body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(answer.body)}")
        body = b""
    else:
        handler.send_response(206 if start else answer.status)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(answer.body) - 1}/{len(answer.body)}")
    if answer.etag:
        handler.send_header("ETag", answer.etag)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.chunked:
        handler.send_header("Transfer-Encoding", "chunked")
        body = b"%x\r\n%s\r\n" % (len(body), body) + b"0\r\n\r\n"
    else:
        handler.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
    handler.end_headers()
    if answer.hold is not None:
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        answer.hold.wait(60)
        body = body[len(body) // 2 :]
    handler.wfile.write(body[: answer.cut.pop(0)] if answer.cut else body)


def _start(handler: BaseHTTPRequestHandler, answer: Answer) -> int:
    """Where the part that is asked for begins; 0 for the whole."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    condition = handler.headers.get("If-Range")
    if (
        asked is None
        or answer.status != 200
        or not answer.ranges
        or (condition and condition not in (answer.etag, *answer.headers.values()))
    ):
        return 0
    return int(asked[1])
