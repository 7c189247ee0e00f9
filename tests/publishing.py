# SPDX-License-Identifier: Apache-2.0
"""What tests of publish and pull share: bundles that differ in little, offers that nobody checked, signed sites."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from server import Server

from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import Pulled, pull
from pocketrec.device.delivery.release import LATEST, Release, name_of

QUICK = Patience(timeout=5, slowest=0, attempts=4, pause=0)


def get(site: Server | str, here: Path, **options: object) -> Pulled:
    """Pull without waiting long."""
    url = site if isinstance(site, str) else site.url
    return pull(url, here, **{"patience": QUICK, **options})  # type: ignore[arg-type]


def changed(folder: Path, name: str) -> Path:
    """A copy of the bundle with another card: another release, with all large files the same."""
    copy = folder.with_name(name)
    shutil.copytree(folder, copy)
    card = f"# {name}\n".encode()
    (copy / "MODEL_CARD.md").write_bytes(card)
    table = json.loads((copy / "manifest.json").read_bytes())
    table["files"]["MODEL_CARD.md"] = {"bytes": len(card), "sha256": hashlib.sha256(card).hexdigest()}
    (copy / "manifest.json").write_text(json.dumps(table))
    return copy


def offer(root: Path, manifest: bytes, serial: int = 1) -> Release:
    """Publish a manifest as it stands, checked by nobody and signed by nobody."""
    release = Release(serial, hashlib.sha256(manifest).hexdigest(), len(manifest))
    path = root / name_of(release.manifest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(manifest)
    (root / LATEST).write_bytes(release.to_bytes())
    return release


def tree(folder: Path) -> dict[str, bytes]:
    """All files with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
