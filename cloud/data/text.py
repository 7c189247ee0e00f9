# SPDX-License-Identifier: Apache-2.0
"""The text of a log as blocks of whole lines, unpacked, without byte-order mark, every line ended by a line feed.

Line ends may be LF, CRLF or CR. A NUL byte becomes the two bytes `NUL`, which are not UTF-8: parsers in C would end the
field there, so a field that holds one could pass for another. This module does not look at fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pocketrec.cloud.data.packing import DAMAGED, cannot_read, refuse_kind, unpacked
from pocketrec.device.base.errors import DataError

BOM: Final = b"\xef\xbb\xbf"
#: Stands for a NUL byte; invalid in UTF-8, as every "modified UTF-8" has it.
NUL: Final = b"\xc0\x80"
_HEAD = 1 << 16  # bytes looked at to tell the format, unless the first line is longer
_LONGEST_LINE = 1 << 26  # of the first line


@dataclass
class TextBlock:
    """Some whole lines."""

    content: bytes
    """Ends with a line feed."""
    done: int
    """Bytes of the file, as it lies, that are read."""


class _Normal:
    """Makes every line end a line feed, over the borders of what is read at a time."""

    def __init__(self) -> None:
        self._carriage = False

    def __call__(self, part: bytes) -> bytes:
        split = self._carriage and part.startswith(b"\n")  # the line feed of a CRLF whose CR was the last byte
        self._carriage = part.endswith(b"\r")
        if split:
            part = part[1:]
        if b"\r" in part:
            part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return part.replace(b"\0", NUL) if b"\0" in part else part


def read_head(path: Path, packing: str) -> bytes:
    """The first lines of a text, at least the first that is not blank; the last line may be cut.

    Raises:
        DataError: the file cannot be read, its first line is endless, or it is of a kind that is not read.
    """
    normal, head = _Normal(), b""
    try:
        with unpacked(path, packing) as (_, file):
            first = file.read(_HEAD)
            refuse_kind(path, first, packing)
            head = normal(first.removeprefix(BOM))
            while b"\n" not in head.lstrip():
                if len(head) > _LONGEST_LINE:
                    size = _LONGEST_LINE >> 20
                    raise DataError(f"{path} has a first line of more than {size} MiB: is it a text log?")
                part = file.read(1 << 20)
                if not part:
                    break
                head += normal(part)
    except DAMAGED as error:
        raise cannot_read(path, error) from None
    return head


def read_text(path: Path, packing: str, header: int, block_bytes: int) -> Iterator[TextBlock]:
    """The lines after the first `header` ones, in blocks of about `block_bytes`.

    Raises:
        OSError, EOFError, ...: one of `DAMAGED`.
    """
    with unpacked(path, packing) as (raw, file):
        normal, rest = _Normal(), b""
        for part in _parts(file, block_bytes):
            part = normal(part)
            head, end, tail = part.rpartition(b"\n")
            if not end:
                rest += part
                continue
            content, rest = rest + head + end, tail
            if header:
                header, content = _without_lines(content, header)
            if content:
                yield TextBlock(content, raw.tell())
        if rest and not header:
            yield TextBlock(rest + b"\n", raw.tell())


def _parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    begin = file.read(max(size, len(BOM))).removeprefix(BOM)
    if begin:
        yield begin
    while part := file.read(size):
        yield part


def _without_lines(content: bytes, count: int) -> tuple[int, bytes]:
    """Lines still to be left out, and the content without the first `count`."""
    place = 0
    while count and place < len(content):
        place = content.index(b"\n", place) + 1
        count -= 1
    return count, content[place:]
