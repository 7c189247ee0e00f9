# SPDX-License-Identifier: Apache-2.0
"""All workers meet before TensorFlow begins, which would wait without end for a missing one, ignoring signals.

Every worker listens at its own port, which shows that it is free; the others tell the chief, again and again, that they
are there, until the chief releases them all. The ports are then TensorFlow's. This module knows nothing about what the
workers do.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from pocketrec.device.base.errors import ConfigError, DataError

_PAUSE = 0.2  # seconds
_GO = b"go"


def meet(addresses: Sequence[str], index: int, patience: float) -> None:
    """Return when all workers have called this.

    Args:
        addresses: ``host:port`` of each worker, the chief's first.
        index: of this worker.
        patience: seconds in which all must have come.

    Raises:
        ConfigError: the port of this worker cannot be listened at.
        DataError: a worker has not come.
    """
    deadline = time.monotonic() + patience
    with _listen(addresses[index]) as listener:
        if index:
            _report(addresses, index, deadline, patience)
        else:
            _gather(addresses, listener, deadline, patience)


def _listen(address: str) -> socket.socket:
    _, port = split(address)
    both = socket.has_dualstack_ipv6()
    try:
        if both:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise ConfigError(
            f"this worker cannot listen at port {port} ({error.strerror}): name another one for it, on all workers"
        ) from None


def _gather(addresses: Sequence[str], listener: socket.socket, deadline: float, patience: float) -> None:
    """The chief: wait until each of the others is on the line, then let them go."""
    with contextlib.ExitStack() as stack:
        there: dict[int, socket.socket] = {}
        while len(there) < len(addresses) - 1:
            if time.monotonic() > deadline:
                missing = [f"{i} ({addresses[i]})" for i in range(1, len(addresses)) if i not in there]
                raise DataError(
                    f"not all workers came within {patience:g} s; missing: {', '.join(missing)}: start all with the "
                    "same addresses, and see that they can reach this one"
                )
            listener.settimeout(_PAUSE)
            with contextlib.suppress(OSError, ValueError):
                line, _ = listener.accept()
                stack.enter_context(line)
                line.settimeout(5)
                index = int(line.recv(16))
                if 0 < index < len(addresses):
                    there[index] = line
            there = {index: line for index, line in there.items() if not _closed(line)}
        for line in there.values():
            with contextlib.suppress(OSError):
                line.sendall(_GO)


def _report(addresses: Sequence[str], index: int, deadline: float, patience: float) -> None:
    """Another worker: tell the chief, and wait for its word."""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(split(addresses[0]), 5) as line:
            line.sendall(str(index).encode())
            line.settimeout(max(_PAUSE, deadline - time.monotonic()))
            if line.recv(len(_GO)) == _GO:
                return
        time.sleep(_PAUSE)
    raise DataError(
        f"worker 0 ({addresses[0]}) did not start this worker within {patience:g} s: see that it runs and can be "
        "reached, and which worker is missing there"
    )


def _closed(line: socket.socket) -> bool:
    """Whether the other side has gone."""
    line.setblocking(False)
    try:
        return not line.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        ConfigError: it is not like that.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"worker {address!r} is not like host:port: give each worker's host and port")
    return host.strip("[]"), int(port)
