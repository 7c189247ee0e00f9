# SPDX-License-Identifier: Apache-2.0
"""A static HTTP/1.1 server on loopback, with ranges and validators; it writes down what it is asked, and misbehaves."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Looks at the request, and answers it itself (True) or leaves that to the server (False).
Fault = Callable[["Handler"], bool]


@dataclass
class Server:
    """A running server."""

    root: Path
    url: str
    fault: Fault | None = None
    cut: Callable[[int], int] | None = None
    """From the length of a body to the bytes of it that are sent before the connection is cut."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of every request."""
    sent: int = 0
    """Bytes of bodies."""
    uploaded: int = 0
    """Bytes that clients announced to send."""

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    site: Server
    timeout = 20

    def do_GET(self) -> None:
        site = self.site
        site.asked.append((self.path, dict(self.headers.items())))
        site.uploaded += int(self.headers.get("Content-Length") or 0)
        if site.fault is not None and site.fault(self):
            return
        path = site.root / self.path.lstrip("/")
        if not path.is_file():
            self.answer(404, b"not here")
            return
        content = path.read_bytes()
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, b"", ETag=etag)
            return
        asked = self.headers.get("Range")
        if asked and self.headers.get("If-Range") in (None, etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
                return
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], **{"Content-Range": span, "ETag": etag})
            return
        self.answer(200, content, ETag=etag)

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        """Send an answer, or the first part of one where the site cuts."""
        self.send_response(status)
        headers = {"Content-Length": str(len(content)), **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.site.cut is not None and content:
            content = content[: self.site.cut(len(content))]
            self.close_connection = True
        self.site.sent += len(content)
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Server]:
    """Serve a folder until the block ends."""
    site = Server(root, "")
    handler = type("Bound", (Handler,), {"site": site})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()


def random_cuts(seed: int) -> Callable[[int], int]:
    """Most answers are cut somewhere."""
    generator = random.Random(seed)
    return lambda length: generator.randrange(length + 1) if generator.random() < 0.7 else length


def hang_up(handler: Handler) -> None:
    """Cut the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
