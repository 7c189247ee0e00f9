# SPDX-License-Identifier: Apache-2.0
"""The server of a federated training as a device sees it: HTTPS by the standard library, one request a connection.

TLS is needed unless the address is this machine itself. Nothing is tried twice here, above all no upload. A request
says which device it is of, a name that is made for this training alone, and is signed with the node's key where there
is one. This module does not know how an update is made.
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import ConfigError, FederatedError
from pocketrec.device.federated.plan import Plan

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Paths begin with it; another version of the protocol would have another number.
ROOT: Final = "/pocketrec/1/"
DEVICE: Final = "X-Device"
NODE: Final = "X-Node"
SIGNATURE: Final = "X-Signature"
ROUND: Final = "X-Round"
_TIMEOUT: Final = 30.0  # seconds
_LIMIT: Final = 1 << 27  # bytes of an answer
_OVER: Final = 410
_CLOCK: Final = 300.0  # seconds that two clocks may differ


def statement(path: str, device: str, body: bytes) -> bytes:
    """What a node signs of a request."""
    return f"pocketrec join 1 {path} {device} {sha256_of(body)}".encode()


class Coordinator:
    """The server.

    Args:
        address: ``HOST:PORT``.
        device: name of this device in the training.
        roots: PEM file of the authorities that are trusted, None = the system's. Without it a loopback address is
            asked without TLS.
        key: the node's private key, None = requests are not signed.

    Raises:
        ConfigError: the address is none, or the file is.
    """

    def __init__(
        self, address: str, device: str, roots: Path | None = None, key: Ed25519PrivateKey | None = None
    ) -> None:
        self.host, _, port = address.rpartition(":")
        self.host = self.host.removeprefix("[").removesuffix("]")
        if not self.host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f"{address} is not HOST:PORT: name the server's host and port")
        self.address, self.device, self._port, self._key = address, device, int(port), key
        self.secure = roots is not None or not _is_loopback(self.host)
        try:
            self._context = ssl.create_default_context(cafile=None if roots is None else str(roots))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"cannot read the certificates {roots} ({error}): name a PEM file") from None

    address: str
    """As it was given."""
    secure: bool
    """Whether TLS is used."""

    def training(self) -> dict[str, Any]:
        """What the training is: see `pocketrec.cloud.federated.serve`."""
        try:
            return documents.parse_table(self._ask("training")[1])
        except documents.DocumentError as error:
            raise FederatedError(f"{self.address} is no server of a federated training ({error}): check the address"
                                 ) from None  # fmt: skip

    def file(self) -> bytes:
        """The contribution file."""
        return self._ask("file")[1]

    def weights(self, plan: str = "") -> bytes:
        """The weights of a round by its plan's id; "" = the latest."""
        return self._ask("weights", plan.encode())[1]

    def enter(self) -> None:
        """Say that this device may be chosen from now on."""
        self._ask("enter")

    def leave(self) -> None:
        """Say that this device is not to be chosen any more."""
        self._ask("leave")

    def plan(self) -> Plan | None:
        """The plan of a round that waits for this device; None = no round does, ask again later.

        Raises:
            OverError: the training has ended.
        """
        status, body = self._ask("plan")
        return Plan.from_bytes(body) if status == 200 else None

    def send(self, plan: str, content: bytes) -> None:
        """Send an update for the round of a plan, once.

        Raises:
            FederatedError: the server refuses it, or went away on the way.
        """
        try:
            self._ask("update", content, plan)
        except _GoneError as error:
            raise FederatedError(f"{self.address} went away while the update was on its way ({error.reason}): it is "
                                 "not sent again; the same command takes part in later rounds") from None  # fmt: skip

    def decline(self, reason: str) -> None:
        """Say that this device takes no part in the round, and why."""
        self._ask("decline", reason.encode())

    def _ask(self, name: str, body: bytes = b"", plan: str = "") -> tuple[int, bytes]:
        """Status, 200 or 204, and body of an answer."""
        path = ROOT + name
        headers = {DEVICE: self.device, "Content-Type": "application/octet-stream", "User-Agent": "pocketrec"}
        if plan:
            headers[ROUND] = plan
        if self._key is not None:
            headers[NODE] = self._key.public_key().public_bytes_raw().hex()
            headers[SIGNATURE] = self._key.sign(statement(path, self.device, body)).hex()
        connection = self._connection()
        try:
            connection.request("POST", path, body, headers)
            with connection.getresponse() as answer:
                content = answer.read(_LIMIT + 1)
                length = answer.getheader("Content-Length")
                if len(content) > _LIMIT or (length is not None and length != str(len(content))):
                    raise _GoneError("its answer was cut short, or is too long", self.address)
                self._check_clock(answer.getheader("Date"))
        except ssl.SSLCertVerificationError as error:
            raise FederatedError(f"the certificate of {self.address} is not trusted ({error.verify_message}): check "
                                 "address and clock, or name the authority's file with --root-certificates"
                                 ) from None  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            raise _GoneError(str(error) or type(error).__name__, self.address) from None
        finally:
            connection.close()
        if answer.status == _OVER:
            raise OverError(f"the training at {self.address} is over: wait for the next bundle")
        if answer.status not in (200, 204):
            told = content.decode(errors="replace")[:300] or answer.reason
            raise FederatedError(" ".join(f"{self.address}: {told}".split()))
        return answer.status, content

    def _connection(self) -> http.client.HTTPConnection:
        if self.secure:
            return http.client.HTTPSConnection(self.host, self._port, timeout=_TIMEOUT, context=self._context)
        return http.client.HTTPConnection(self.host, self._port, timeout=_TIMEOUT)

    def _check_clock(self, told: str | None) -> None:
        try:
            off = time.time() - parsedate_to_datetime(told or "").timestamp()
        except (ValueError, TypeError):
            return
        if abs(off) > _CLOCK:
            way = "ahead of" if off > 0 else "behind"
            raise FederatedError(f"this device's clock is {abs(off) / 60:.0f} minutes {way} that of {self.address}: "
                                 "set it, for rounds end by the clock")  # fmt: skip


class OverError(FederatedError):
    """The training has ended."""


class _GoneError(FederatedError):
    """The server cannot be reached, or not any more."""

    def __init__(self, reason: str, address: str) -> None:
        super().__init__(f"cannot reach {address} ({reason}): check the address, and that the server runs")
        self.reason = reason


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

