"""Make the golden files of updates: what servers and devices hold that later versions have to read.

    python tests/golden/updates/make.py OUT

They were made once, by the commit that brought pins apart from current.json and fields that are reserved for later
versions, and are never made again: tests/device/delivery/test_golden_updates.py opens them. OUT gets

    current.json         of a folder that a version before pin.json has pulled into, with a pinned key
    current.later.json   the same with fields that no version knows yet
    pin.json             with such fields, too
    manifest.json        of ../bundle.packed, with such fields
    latest.json          release 3, of that manifest, signed by next.key, with such fields
    rotation.json        release 2, signed by ../publisher.key: names the key of next.key
    next.key             the private key, for these files alone
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pocketrec.device.delivery.pins import Pin
from pocketrec.device.delivery.release import Release
from pocketrec.device.delivery.signing import make_key, public_digits, read_private
from pocketrec.device.delivery.versions import Current
from pocketrec.export.bundle.terms import signed

GOLDEN = Path(__file__).resolve().parents[1]
LATER: dict[str, Any] = {"later_text": "of a later version", "later_table": {"a": [1, 2.5, None]}, "later_number": 7}


def write(path: Path, table: dict[str, Any]) -> bytes:
    """Write JSON, and give it."""
    content = (json.dumps(table, indent=1) + "\n").encode()
    path.write_bytes(content)
    return content


def make(out: Path) -> None:
    """Write them."""
    out.mkdir(parents=True, exist_ok=True)
    make_key(out / "next.key")
    (out / "next.key.pub").unlink()
    old, following = read_private(GOLDEN / "publisher.key"), read_private(out / "next.key")
    version = hashlib.sha256((GOLDEN / "bundle" / "manifest.json").read_bytes()).hexdigest()
    current = Current(version[:16], serial=1, url="https://example.org/www", key=public_digits(old), users=["u1"])
    write(out / "current.json", asdict(current))
    write(out / "current.later.json", {**asdict(current), **LATER})
    pin = Pin(public_digits(old), (public_digits(old),), serials={public_digits(old): 1})
    write(out / "pin.json", {**asdict(pin), **LATER})
    manifest = json.loads((GOLDEN / "bundle.packed" / "manifest.json").read_bytes())
    content = write(out / "manifest.json", {**manifest, **LATER})
    release = Release(3, hashlib.sha256(content).hexdigest(), len(content), reserved=LATER)
    (out / "latest.json").write_bytes(signed(release, [following]).to_bytes())
    rotation = replace(release, serial=2, keys=(public_digits(following),), published=1_760_000_000)
    (out / "rotation.json").write_bytes(signed(rotation, [old]).to_bytes())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
