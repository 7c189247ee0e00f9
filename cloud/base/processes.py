# SPDX-License-Identifier: Apache-2.0
"""Independent jobs in fresh processes, one line of JSON each, in a file that a killed run continues.

The processes are spawned, so they hold nothing of the caller's (no TensorFlow, no locks), and their numerical
libraries run on one thread. The module knows nothing about what a job does.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, TypeVar

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.base.files import storage_error, write_atomic

Job = TypeVar("Job")
Line = dict[str, Any]

_ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def process_count(asked: int) -> int:
    """Processes to use: as asked, or where that is 0 one for each core that this process may use."""
    if asked > 0:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    jobs: Mapping[str, Job],
    work: Callable[[Job], Line],
    path: Path,
    fingerprint: str,
    *,
    start: Callable[..., None],
    arguments: tuple[Any, ...] = (),
    processes: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Line]:
    """Do every job that is not done yet, and append its line to `path` as soon as it is.

    Args:
        jobs: by a key that names the job in the file.
        work: module-level function of one job; its result must be plain JSON values.
        path: the file; its first line holds `fingerprint`. A file of another fingerprint is started again, and a last
            line that was cut off is dropped.
        fingerprint: changes with everything that the results depend on.
        start: module-level function called once in every process, with `arguments`.
        arguments: for `start`.
        processes: as for `process_count`.
        progress: called after every job.

    Returns:
        The line of every job, by key, in the order of `jobs`.

    Raises:
        PocketRecError: what a job raised, or that a process died.
        StorageError: the file cannot be written.
    """
    done = _read(path, fingerprint)
    if done is None:
        write_atomic(path, (json.dumps({"fingerprint": fingerprint}) + "\n").encode("utf-8"))
        done = {}
    todo = [key for key in jobs if key not in done]
    finished = len(jobs) - len(todo)
    progress(finished, len(jobs))
    if todo:
        try:
            file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise storage_error(path, error) from None
        size = min(process_count(processes), len(todo))
        with file, _one_thread(), _pool(size, start, arguments) as pool:
            for key, line in _as_done(pool, work, jobs, todo, ahead=4 * size):
                done[key] = line
                try:
                    file.write(json.dumps({"key": key, **line}, ensure_ascii=False) + "\n")
                    file.flush()
                except OSError as error:
                    raise storage_error(path, error) from None
                finished += 1
                progress(finished, len(jobs))
    return {key: done[key] for key in jobs}


@contextlib.contextmanager
def worker_pool(
    processes: int, start: Callable[..., None], arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Processes as `run_jobs` has them, for a caller that hands out jobs itself; they end with the context.

    Args:
        processes: as for `process_count`.
        start: module-level function called once in every process, with `arguments`.
        arguments: for `start`.
    """
    with _one_thread(), _pool(process_count(processes), start, arguments) as pool:
        yield pool


def read_lines(path: Path) -> list[Line]:
    """The lines of finished jobs (with their ``key``), in the order in which they ended."""
    return [json.loads(line) for line in _split(path.read_bytes())[1:]]


def _read(path: Path, fingerprint: str) -> dict[str, Line] | None:
    """Lines of an earlier run; None where there is none to continue with. Cuts a torn last line off the file."""
    if not path.exists():
        return None
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        head, *lines = [json.loads(line) for line in _split(whole)]
        if head["fingerprint"] != fingerprint:
            return None
        done = {line.pop("key"): line for line in lines}
    except (ValueError, KeyError, TypeError):
        return None
    if len(whole) < len(content):
        write_atomic(path, whole)
    return done


def _split(content: bytes) -> list[bytes]:
    """Lines end with a line feed and nothing else: an id may hold what Unicode calls a line break."""
    return content.removesuffix(b"\n").split(b"\n")


def _as_done(
    pool: ProcessPoolExecutor, work: Callable[[Job], Line], jobs: Mapping[str, Job], todo: list[str], ahead: int
) -> Iterator[tuple[str, Line]]:
    """Results in the order in which they come; at most `ahead` jobs are in the queue at a time."""
    waiting: dict[Future[Line], str] = {}
    queue = iter(todo)
    try:
        while True:
            while len(waiting) < ahead and (key := next(queue, None)) is not None:
                waiting[pool.submit(work, jobs[key])] = key
            if not waiting:
                return
            done = wait(waiting, return_when=FIRST_COMPLETED).done
            ended = [future for future in waiting if future in done]  # as submitted: `done` has no order
            for future in sorted(ended, key=lambda future: future.exception() is not None):  # results before errors
                yield waiting.pop(future), future.result()
    except BrokenProcessPool:
        raise PocketRecError(
            "a device process ended unexpectedly (is there enough memory?): run again, or set resources.processes=1"
        ) from None


@contextlib.contextmanager
def _pool(size: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(
        size, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(start, arguments)
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """First thing in a process: see to it that it ends with its parent, also where that one is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    start(*arguments)


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Environment in which processes that are spawned now keep to one thread."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
