# SPDX-License-Identifier: Apache-2.0
"""Engine ``processes``: the devices' own code, in processes on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pocketrec.cloud.base.processes import process_count, worker_pool
from pocketrec.cloud.federated.device import FederatedUser, SimulatedContributor
from pocketrec.cloud.federated.engine import Answer
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.federated import ROUND_WEIGHTS_FILE
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.federated.plan import Plan


class Processes:
    """Devices in a pool of processes; made by `processes`."""

    live = False

    def __init__(self, pool: ProcessPoolExecutor, folder: Path, ahead: int) -> None:
        self._pool, self._folder, self._ahead = pool, folder, ahead

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        """See `Engine.collect`. At most some devices for each process are at work ahead of the one whose turn it is, so
        that not all updates are in memory at once.

        Raises:
            PocketRecError: a process died.
        """
        path = self._folder / ROUND_WEIGHTS_FILE
        write_atomic(path, weights)
        content, until = plan.to_bytes(), time.monotonic() + timeout
        queue: list[tuple[str, Future[Answer]]] = []
        left = iter(devices)
        try:
            while True:
                while len(queue) < self._ahead and (name := next(left, None)) is not None:
                    queue.append((name, self._pool.submit(_work, name, content, path)))
                if not queue:
                    return
                device, future = queue.pop(0)
                try:
                    yield future.result(max(0.0, until - time.monotonic()))
                except TimeoutError:
                    future.cancel()
                    yield Answer(device)
        except BrokenProcessPool:
            raise PocketRecError("a device process ended unexpectedly (is there enough memory?): run again, or set "
                                 "resources.processes=1") from None  # fmt: skip


@contextlib.contextmanager
def processes(
    path: Path, users: Mapping[str, FederatedUser], folder: Path, *, seed: int, runtime: str = "auto", number: int = 0
) -> Iterator[Processes]:
    """The engine, with its processes for as long as the context lasts.

    Args:
        path: the contribution file.
        users: every device by name.
        folder: for the round's weights; it must be there.
        seed: the devices' secrets follow from it.
        runtime: auto, ai_edge_litert or tflite_runtime.
        number: processes; 0 = one for each core.
    """
    arguments = (path, dict(users), choose_runtime(runtime), seed)
    with worker_pool(number, _start, arguments) as pool:
        yield Processes(pool, folder, 4 * process_count(number))


_device: SimulatedContributor | None = None
_users: dict[str, FederatedUser] = {}


def _start(path: Path, users: dict[str, FederatedUser], runtime: str, seed: int) -> None:
    global _device, _users
    _device, _users = SimulatedContributor(path, runtime, seed), users


def _work(name: str, plan: bytes, weights: Path) -> Answer:
    if _device is None:
        raise RuntimeError("the process was not started by `processes`")
    return _device.answer(name, _users[name], plan, weights)
