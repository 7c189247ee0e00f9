# SPDX-License-Identifier: Apache-2.0
"""changelog.jsonl: one line for each release that a folder had, in the order of publishing. Devices do not read it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketrec.device.base import documents
from pocketrec.device.base.errors import StorageError
from pocketrec.device.base.files import storage_error, sweep, write_atomic
from pocketrec.device.delivery.release import Release


def add_line(path: Path, release: Release, signers: Sequence[str], model_id: str, note: str) -> None:
    """Add a release; a line of the same serial, of a publishing that was cut short, is replaced.

    Args:
        path: the file.
        release: what is published.
        signers: public keys that have signed it.
        model_id: SHA-256 of the model file.
        note: by whoever publishes.

    Raises:
        StorageError: the file cannot be read or written.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line: dict[str, Any] = {
        "serial": release.serial, "time": now, "manifest": release.manifest, "model_id": model_id,
        "signed_by": list(signers), "note": note,
    }  # fmt: skip
    if release.expires:
        line["expires"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(release.expires))
    if release.keys:
        line["keys"] = list(release.keys)
    if release.staged:
        line["shards"] = f"{release.staged.first} of {release.staged.shards}, the others have {release.staged.serial}"
    lines = [old for old in read_lines(path) if old.get("serial") != release.serial]
    sweep(path)
    write_atomic(path, "".join(documents.line(one) + "\n" for one in (*lines, line)).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines; none where there is no file yet.

    Raises:
        StorageError: the file cannot be read, or is damaged.
    """
    try:
        lines = [documents.parse_table(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(path, error) from None
    except ValueError as error:
        raise StorageError(f"{path} is damaged ({error}): move it away, and publish again") from None
    return lines
