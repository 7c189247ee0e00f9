# SPDX-License-Identifier: Apache-2.0
"""Fetching files from a server: resumed, retried, and bounded in size and time.

A request carries the address, the validators of what is here already, and pocketrec's name: nothing about a user.
Connections are made by `pocketrec.device.delivery.web`, or by an application's own HTTP. This module does not know what
the files mean.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from pocketrec.device.base.errors import FetchError, PocketRecError
from pocketrec.device.base.files import sha256_file, storage_error
from pocketrec.device.delivery.web import Web

_CHUNK: Final = 1 << 16
_PROGRESS: Final = 1 << 16  # bytes that make up for a failure
_AGAIN: Final = {408, 425, 429, 500, 502, 503, 504}
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for."""

    timeout: float = 30.0
    """Seconds for a connection and the head of an answer, and between two pieces of its body."""
    slowest: float = 512.0
    """Bytes a second that a body has to come at, on average, once `timeout` has passed."""
    attempts: int = 6
    """Failures in a row, without 64 KiB of progress between them, after which a file is given up."""
    pause: float = 0.5
    """Seconds before the second attempt; doubled after each further one, give or take a half, up to 30."""

    def __post_init__(self) -> None:
        if not (self.timeout > 0 and self.slowest >= 0 and self.attempts >= 1 and self.pause >= 0):
            raise ValueError("timeout, slowest, attempts or pause is out of range")


class _AgainError(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__("".join(letter if letter.isprintable() else " " for letter in reason[:200]).strip())
        self.wait = wait


class AbsentError(FetchError):
    """The server says that it does not have the file."""


class Answer(Protocol):
    """An answer to a GET, as an application's own HTTP hands it over."""

    @property
    def status(self) -> int:
        """200, 206, 304, 404, ..."""

    @property
    def headers(self) -> Any:
        """A mapping with ``items()``, of text to text."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes more of the body; empty at its end. Where there is a ``read1``, that is called."""

    def close(self) -> object:
        """Give the connection back."""


#: From an address, headers and a timeout in seconds to an answer, whatever its status; redirects are followed, a
#: body comes as it was stored (no Content-Encoding). An exception means that the connection failed.
Source = Callable[[str, Mapping[str, str], float], Answer]


class Fetcher:
    """Fetches files from servers.

    Args:
        patience: how long servers are waited for.
        sleep: waits between attempts.
        source: what is asked; None = `pocketrec.device.delivery.web`.
        login: value of the header Authorization; "" = none is sent.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        sleep: Callable[[float], object] = time.sleep,
        source: Source | None = None,
        login: str = "",
    ) -> None:
        self._patience = patience or Patience()
        self._sleep = sleep
        self._source: Source = source or Web()
        self._login = {"Authorization": login} if login else {}
        self.received = 0

    received: int
    """Bytes of bodies received so far."""

    def small(self, url: str, limit: int, etag: str = "") -> tuple[bytes | None, str]:
        """The content of a small file and its ETag; None where it still has the ETag that was given.

        Raises:
            FetchError: it cannot be fetched, or is larger than `limit` bytes.
        """

        def attempt() -> tuple[bytes | None, str]:
            headers = {"If-None-Match": etag} if etag else {}
            with self._answer(url, {**headers, "Cache-Control": "no-cache"}) as answer:
                if answer.status == 304:
                    return None, etag
                content = b"".join(self._pieces(answer, limit + 1))
                if len(content) > limit:
                    raise FetchError(f"{url} is larger than {limit} bytes: name the right address")
                length = answer.get("Content-Length")
                if length is not None and length != str(len(content)):
                    raise _AgainError("the answer was cut short")
                return content, answer.get("ETag") or ""

        return self._retried(url, attempt)

    def file(self, url: str, target: Path, size: int, sha256: str) -> None:
        """Fetch a file whose size and hash are known; what an interrupted attempt left in `target` is gone on from.

        A part that the server says is of another file, by its ETag, is dropped. `target` is complete and right, and
        flushed to the disk, when this returns.

        Raises:
            FetchError: it cannot be fetched, or the server has another file in its place.
            StorageError: it cannot be written; what was received stays.
        """
        mark = target.with_name(f"{target.name}.etag")
        wrong = 0

        def attempt() -> None:
            nonlocal wrong
            with self._writing(target):
                self._rest(url, target, mark, size, fresh=wrong > 0)
                if sha256_file(target) != sha256:
                    target.unlink()
                    mark.unlink(missing_ok=True)
                    wrong += 1
                    if wrong >= 2:
                        raise FetchError(f"{url} is not the file that its manifest names (another SHA-256): "
                                         "try again later, or tell the publisher")  # fmt: skip
                    raise _AgainError("another SHA-256 than the manifest's")
                mark.unlink(missing_ok=True)

        self._retried(url, attempt, lambda: target.stat().st_size if target.exists() else 0)

    def _rest(self, url: str, target: Path, mark: Path, size: int, fresh: bool) -> None:
        """Append to `target` what is missing of `size` bytes."""
        have = target.stat().st_size if target.exists() else 0
        if have > size:
            target.unlink()
            have = 0
        if have == size and target.exists():
            return
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        if have:
            headers["Range"] = f"bytes={have}-"
            etag = mark.read_text("ascii", "replace") if mark.exists() else ""
            if etag.isascii() and etag.isprintable() and etag:  # else it was damaged
                headers["If-Range"] = etag
        with self._answer(url, headers) as answer:
            if answer.status == 416:
                target.unlink()
                raise _AgainError("the server has less than is here already")
            expected = size
            if answer.status == 206:
                span = _RANGE.fullmatch(answer.get("Content-Range") or "")
                if not have or span is None or [int(n) for n in span.groups()] != [have, size - 1, size]:
                    target.unlink(missing_ok=True)
                    raise _AgainError("the server sent another part than was asked for")
                expected = size - have
            else:
                have = 0
            length = answer.get("Content-Length")
            if length is not None and (not length.isdigit() or int(length) > expected):
                raise _AgainError(f"the server announces {length} bytes and not {expected}")
            etag = answer.get("ETag") or ""
            strong = etag.isascii() and not etag.startswith("W/") and "\n" not in etag
            with open(target, "r+b" if have else "wb") as file:
                if not have and etag and strong:
                    mark.write_text(etag, "ascii")
                elif not have:
                    mark.unlink(missing_ok=True)
                file.seek(have)
                for piece in self._pieces(answer, expected + 1):
                    have += len(piece)
                    if have > size:
                        file.truncate(0)
                        raise _AgainError("the server sent more than the manifest says")
                    with self._writing(target):
                        file.write(piece)
                with self._writing(target):
                    file.flush()
                    os.fsync(file.fileno())
        if have < size:
            raise _AgainError(f"the answer was cut short, after {have} of {size} bytes")

    @contextlib.contextmanager
    def _answer(self, url: str, headers: dict[str, str]) -> Iterator[_Opened]:
        """The answer to a GET: status 200, 206, 304 or 416; everything else is an error, and so are later failures."""
        try:
            try:
                answer = self._source(url, {**headers, **self._login}, self._patience.timeout)
            except (PocketRecError, OSError, http.client.HTTPException):
                raise
            except Exception as error:  # an application's own HTTP has errors of its own
                raise _AgainError(str(error) or type(error).__name__) from None
            with contextlib.closing(answer):
                opened = _Opened(answer)
                if opened.status not in (200, 206, 304, 416):
                    raise _refusal(url, opened)
                if (opened.get("Content-Encoding") or "identity").lower() != "identity":
                    raise FetchError(f"{url} comes compressed ({opened.get('Content-Encoding')!r}), unrequested: "
                                     "let the server send files as they are")  # fmt: skip
                yield opened
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "filename", None) is not None or _is_full(error):
                raise
            raise _AgainError(str(error) or type(error).__name__) from None

    def _pieces(self, answer: _Opened, limit: int) -> Iterator[bytes]:
        """The body of an answer, up to `limit` bytes, as it comes."""
        started, got = time.monotonic(), 0
        while got < limit and (piece := answer.read(min(_CHUNK, limit - got))):
            got += len(piece)
            self.received += len(piece)
            yield piece
            elapsed = time.monotonic() - started
            if elapsed > self._patience.timeout and got < self._patience.slowest * elapsed:
                raise _AgainError(f"the server is too slow, {got} bytes in {elapsed:.0f} s")

    def _retried(self, url: str, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        failures, best = 0, progress()
        while True:
            try:
                return attempt()
            except _AgainError as error:
                failures += 1
                now = progress()
                if now - best >= _PROGRESS:
                    failures, best = 1, now
                if failures >= self._patience.attempts:
                    raise FetchError(
                        f"{url} cannot be fetched ({error}, {failures} times): check connection and address; "
                        "what was received is kept, and the next pull continues there"
                    ) from None
                pause = self._patience.pause * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
                self._sleep(min(30.0, max(pause, error.wait)))

    @contextlib.contextmanager
    def _writing(self, target: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(target, error) from None


class _Opened:
    """An answer, whoever gave it: headers by names in any case, and errors of its body that are ours."""

    def __init__(self, answer: Answer) -> None:
        self.status = int(answer.status)
        self._headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        self._read: Callable[[int], bytes] = getattr(answer, "read1", answer.read)

    def get(self, name: str) -> str | None:
        """A header."""
        return self._headers.get(name.lower())

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        try:
            return self._read(size)
        except (OSError, http.client.HTTPException):
            raise
        except Exception as error:
            raise _AgainError(str(error) or type(error).__name__) from None


def _refusal(url: str, answer: _Opened) -> Exception:
    """What a status means that brings no content."""
    status = answer.status
    if status in _AGAIN:
        return _AgainError(f"status {status}", _seconds(answer.get("Retry-After")))
    if status < 300:
        return FetchError(f"{url} answers with status {status}: name the right address")
    kind = AbsentError if status in (404, 410) else FetchError
    circles = ", again and again" if status < 400 else ""
    return kind(f"{url} cannot be fetched (status {status}{circles}): check the address, or whether something is "
                "published there")  # fmt: skip


def _is_full(error: BaseException) -> bool:
    import errno

    return getattr(error, "errno", None) in (errno.ENOSPC, getattr(errno, "EDQUOT", -1), errno.EFBIG, errno.EROFS)


def _seconds(retry_after: str | None) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 where there is none."""
    if not retry_after:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
