# SPDX-License-Identifier: Apache-2.0
"""Engine ``serve``: devices that come by themselves, over HTTPS by the standard library (`pocketrec join`).

A device asks, the server answers; nothing is ever sent to a device that did not ask. What a device may ask for is the
table `_ANSWERS`. The server keeps names of devices that are made for one training, their updates until the
round is summed, and no address. `pocketrec.device.federated.coordinator` is the other side.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.federated.engine import Answer
from pocketrec.device.base import documents
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.federated.coordinator import DEVICE, NODE, ROOT, ROUND, SIGNATURE, statement
from pocketrec.device.federated.plan import Plan

_NAME: Final = 64  # characters of a device's name, at most
_PATIENCE: Final = 60.0  # seconds for one request
_KNOWN: Final = 1_000_000  # devices that may enter


@dataclass(frozen=True)
class Offer:
    """What devices are told of a training before they enter."""

    training: str
    """Its name."""
    model: str
    """Id of the model of the bundle that devices must have."""
    file: bytes
    """The contribution file."""
    plan: Plan
    """A plan as the rounds' will be."""


class Served:
    """Devices that have entered; made by `serve`."""

    live = True
    address = ""
    """``HOST:PORT`` where it listens."""

    def __init__(self, offer: Offer, nodes: Collection[str] | None) -> None:
        self.offer, self._nodes = offer, nodes
        self.largest = 64 + 8 * sum(_size(shape) for shape in offer.plan.tensors.values()) + (1 << 16)
        self._changed = threading.Condition()
        self._entered: dict[str, str] = {}  # device -> node
        self._plan: Plan | None = None
        self._weights, self._over = b"", False
        self._open: set[str] = set()  # chosen devices that have not answered
        self._answers: dict[str, Answer] = {}
        self._asked: dict[str, float] = {}

    def wait_for(self, number: int, seconds: float, told: Callable[[int], object] = lambda entered: None) -> list[str]:
        """Names of the devices that have entered, in order, once there are so many, or the time is up."""
        until = time.monotonic() + seconds
        with self._changed:
            while len(self._entered) < number and (left := until - time.monotonic()) > 0:
                told(len(self._entered))
                self._changed.wait(min(left, 1.0))
            return sorted(self._entered)

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        """See `Engine.collect`; devices that have left meanwhile have declined."""
        until = time.monotonic() + timeout
        with self._changed:
            self._plan, self._weights, self._answers = plan, weights, {}
            self._open = {device for device in devices if device in self._entered}
            for device in set(devices) - self._open:
                self._answers[device] = Answer(device, declined="it has left")
            self._asked = dict.fromkeys(self._open, time.monotonic())
            while self._open and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, 1.0))
            self._plan, self._open = None, set()
            answers = dict(self._answers)
        for device in devices:
            yield answers.get(device, Answer(device))

    def show(self, weights: bytes) -> None:
        """Weights for who asks before the first round, as `pocketrec join --dry-run` does."""
        with self._changed:
            self._weights = weights

    def end(self, seconds: float = 0.0) -> None:
        """Tell devices that ask from now on that the training is over; wait so long for those that have entered."""
        until = time.monotonic() + seconds
        with self._changed:
            self._over = True
            while self._entered and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, 1.0))

    # --- what devices ask ---------------------------------------------------------------------------------------

    def enter(self, device: str, node: str) -> tuple[int, bytes]:
        """A device may be chosen from now on; a node has one device."""
        with self._changed:
            others = {other for other, its in self._entered.items() if node and its == node and other != device}
            if others or len(self._entered) >= _KNOWN:
                return 403, b"this node has entered with another device already: leave with that one first"
            self._entered[device] = node
            self._changed.notify_all()
            return 204, b""

    def leave(self, device: str) -> tuple[int, bytes]:
        """A device is not to be chosen any more."""
        with self._changed:
            self._entered.pop(device, None)
            self._answered(device, Answer(device, declined="it has left"))
            return 204, b""

    def plan(self, device: str) -> tuple[int, bytes]:
        """The plan of the round, where it waits for this device."""
        with self._changed:
            if self._over:
                self._entered.pop(device, None)
                self._changed.notify_all()
                return 410, b"the training is over"
            if self._plan is None or device not in self._open:
                return 204, b""
            self._asked[device] = time.monotonic()
            return 200, self._plan.to_bytes()

    def weights(self, device: str, plan: str) -> tuple[int, bytes]:
        """The weights of the round that a device is chosen for, or the latest where it names none."""
        with self._changed:
            if plan and (self._plan is None or self._plan.id != plan):
                return 409, b"the round is over: wait for the next one"
            return (200, self._weights) if self._weights else (409, b"there are no weights yet: ask again later")

    def update(self, device: str, plan: str, content: bytes) -> tuple[int, bytes]:
        """An update of a device of which the round waits; it is checked where it is added up."""
        with self._changed:
            if self._plan is None or self._plan.id != plan:
                return 409, b"the round is over: wait for the next one"
            if device in self._answers:
                return 409, b"an update of this device was taken already: nothing is taken twice"
            if device not in self._open:
                return 409, b"the round is over, or was not for this device: wait for the next one"
            took = (time.monotonic() - self._asked.get(device, time.monotonic())) * 1e3
            self._answered(device, Answer(device, content, milliseconds=took))
            return 204, b""

    def decline(self, device: str, why: str) -> tuple[int, bytes]:
        """A device takes no part in the round."""
        with self._changed:
            self._answered(device, Answer(device, declined=why[:300]))
            return 204, b""

    def refusal(self, path: str, device: str, node: str, signature: str, body: bytes) -> str:
        """Why a request is not answered; "" where it is."""
        if not (0 < len(device) <= _NAME and device.isalnum()) and path not in (f"{ROOT}training", f"{ROOT}file"):
            return "the request does not say of which device it is"
        if self._nodes is None:
            return ""
        from pocketrec.device.delivery.signing import is_signed_by

        if node not in self._nodes or not is_signed_by(node, signature, statement(path, device, body)):
            return "this server knows its nodes, and this is none: give the node's key with --node-key"
        owner = self._entered.get(device)
        return "" if owner in (None, node) else "this device is another node's"

    def _answered(self, device: str, answer: Answer) -> None:
        if device in self._open:
            self._open.discard(device)
            self._answers[device] = answer
            self._changed.notify_all()


@contextlib.contextmanager
def serve(
    address: str, offer: Offer, *, certificate: Path | None, key: Path | None, nodes: Collection[str] | None = None,
    farewell: float = 10.0,
) -> Iterator[Served]:  # fmt: skip
    """The engine, with its server for as long as the context lasts.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        offer: what is served.
        certificate, key: PEM files for TLS; None only on the loopback.
        nodes: public Ed25519 keys, hexadecimal, of the nodes that may take part; None = anybody.
        farewell: seconds at the end in which devices that ask for a round hear that there is none any more.

    Raises:
        ConfigError: the address cannot be used, or a file.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{address} is not HOST:PORT: name where to listen")
    if certificate is None and host not in ("127.0.0.1", "localhost"):
        raise ConfigError("devices on other machines need TLS: give certificate and key, or listen on 127.0.0.1")
    engine = Served(offer, nodes)
    try:
        server = _Server((host, int(port)), engine)
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {address} with these certificates ({error}): name others") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
    thread.start()
    engine.address = f"{host}:{server.server_address[1]}"
    try:
        yield engine
    finally:
        engine.end(farewell)
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, place: tuple[str, int], engine: Served) -> None:
        self.engine = engine
        super().__init__(place, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break, and wrong handshakes, are the devices' to tell of."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server
    server_version, sys_version = "pocketrec", ""

    def do_POST(self) -> None:
        answer = _ANSWERS.get(self.path.removeprefix(ROOT)) if self.path.startswith(ROOT) else None
        length = self.headers.get("Content-Length", "")
        if answer is None:
            return self._send(404, b"there is no such thing here")
        if not length.isdecimal() or int(length) > self.server.engine.largest:
            return self._send(413, b"this is longer than any update")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            return None  # the device went away on the way: nothing is taken
        device, node, signature, plan = (self.headers.get(name, "") for name in (DEVICE, NODE, SIGNATURE, ROUND))
        if why := self.server.engine.refusal(self.path, device, node, signature, body):
            return self._send(403, why.encode())
        return self._send(*answer(self.server.engine, _Asked(device, node, plan, body)))

    def _send(self, status: int, content: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """No log: addresses of devices are not kept."""


@dataclass(frozen=True)
class _Asked:
    """A request: of which device and node, for which round, and its body."""

    device: str
    node: str
    plan: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


#: Name of a question -> what answers it: status and body.
_ANSWERS: Final[dict[str, Callable[[Served, _Asked], tuple[int, bytes]]]] = {
    "training": lambda engine, asked: (200, _told(engine.offer)),
    "file": lambda engine, asked: (200, engine.offer.file),
    "enter": lambda engine, asked: engine.enter(asked.device, asked.node),
    "leave": lambda engine, asked: engine.leave(asked.device),
    "plan": lambda engine, asked: engine.plan(asked.device),
    "weights": lambda engine, asked: engine.weights(asked.device, asked.text),
    "update": lambda engine, asked: engine.update(asked.device, asked.plan, asked.body),
    "decline": lambda engine, asked: engine.decline(asked.device, asked.text),
}


def _told(offer: Offer) -> bytes:
    about = {"training": offer.training, "model": offer.model, "file": sha256_of(offer.file),
             "plan": offer.plan.to_bytes().decode()}  # fmt: skip
    return documents.document(about)


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
