# SPDX-License-Identifier: Apache-2.0
"""pull of manifests and signatures that nobody should believe: refused before a file is fetched."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from publishing import changed, get, tree
from server import Server

from pocketrec.device.base.errors import BundleError, ConfigError, FetchError, PocketRecError, StorageError
from pocketrec.device.delivery.assemble import Limits
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.release import LATEST, Release, name_of
from pocketrec.export.bundle.release import publish


def offer(site: Server, table: dict[str, object], serial: int = 1) -> None:
    """Publish a manifest as it stands, checked by nobody."""
    content = json.dumps(table).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = site.root / name_of(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    (site.root / LATEST).write_bytes(Release(serial, digest, len(content)).to_bytes())


ESCAPES = ["../x", "/tmp/x", "a/../../x", "candidates/../../x", ".verified", "a/.b", "c:x", "a\nb"]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_point_outside_are_refused(folder: Path, site: Server, here: Path, name: str) -> None:
    publish(folder, site.root)
    table = json.loads((folder / "manifest.json").read_bytes())
    table["files"][name] = {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    (site.root / name_of(hashlib.sha256(b"abc").hexdigest())).write_bytes(b"abc")
    offer(site, table, 2)
    before = tree(here.parent) if here.parent.exists() else {}
    with pytest.raises(PocketRecError, match="is not a name inside a bundle"):
        get(site, here)
    assert set(tree(here.parent)) - set(before) <= {"bundle/lock", *(n for n in tree(here.parent) if "partial" in n)}


def test_absurd_manifests_are_refused_before_they_are_fetched(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    table = json.loads((folder / "manifest.json").read_bytes())

    def refused(match: str, **changes: object) -> None:
        offer(site, {**table, **changes}, 2)
        site.asked.clear()
        with pytest.raises(PocketRecError, match=match):
            get(site, here, users=["u1"])
        assert len(site.asked) <= 2

    files = table["files"]
    refused("over 4294967296", files={**files, "huge": {"bytes": 1 << 40, "sha256": "0" * 64}})
    refused(r"files\.x\.bytes must be at least 0", files={**files, "x": {"bytes": -1, "sha256": "0" * 64}})
    refused(r"files\.x\.sha256 must be 64 hex", files={**files, "x": {"bytes": 1, "sha256": "../../../etc"}})
    refused("more than 10000", files={**files, **{f"f{n}": {"bytes": 1, "sha256": "0" * 64} for n in range(10_001)}})
    refused(r"candidates\.shards must be at least 0", candidates={"shards": -1, "per_user": 1})
    refused(r"candidates\.shards must be a whole number", candidates={"shards": "3", "per_user": 1})
    refused(r"candidates\.shards is out of range", candidates={"shards": 10**30, "per_user": 1})
    deep = b'{"a":' * 100_000
    digest = hashlib.sha256(deep).hexdigest()
    (site.root / name_of(digest)).write_bytes(deep)
    (site.root / LATEST).write_bytes(Release(3, digest, len(deep)).to_bytes())
    with pytest.raises(BundleError, match=r"manifest\.json is cut short or altered"):
        get(site, here)
    (site.root / LATEST).write_bytes(Release(3, digest, 1 << 30).to_bytes())
    with pytest.raises(FetchError, match="has a manifest of"):
        get(site, here)
    publish(folder, site.root)
    with pytest.raises(FetchError, match="raise --max-bytes"):
        get(site, here, limits=Limits(total=1000))
    with pytest.raises(BundleError):
        open_bundle(here)


def test_a_manifest_whose_files_collide_is_one_line(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    table = json.loads((folder / "manifest.json").read_bytes())
    card = table["files"]["MODEL_CARD.md"]
    offer(site, {**table, "files": {**table["files"], "a": card, "a/b": card}}, 2)
    with pytest.raises(PocketRecError):
        get(site, here)
    with pytest.raises(BundleError):
        open_bundle(here)


def test_signatures(folder: Path, site: Server, here: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from pocketrec.device.delivery.signing import make_key

    mine, foreign = tmp_path / "mine", tmp_path / "foreign"
    digits = make_key(mine)
    make_key(foreign)
    assert os.name == "nt" or oct(mine.stat().st_mode & 0o777) == "0o600"
    with pytest.raises(StorageError, match="is not overwritten"):
        make_key(mine)
    publish(folder, site.root)
    with pytest.raises(FetchError, match="is not signed, and a key is pinned"):
        get(site, here, key=f"{mine}.pub")
    publish(folder, site.root, sign=foreign)
    with pytest.raises(FetchError, match="is not signed with the pinned key"):
        get(site, here, key=digits)
    signed = publish(folder, site.root, sign=mine)
    assert signed.key == digits
    assert get(site, here, key=digits).new

    later = publish(changed(folder, "later"), site.root, sign=mine).release
    for wrong in (
        Release(later.serial + 1, later.manifest, later.size, later.signature),  # another number
        Release(later.serial, signed.release.manifest, signed.release.size, later.signature),  # another manifest
        Release(later.serial, later.manifest, later.size),
        Release(later.serial, later.manifest, later.size, "0" * 128),
    ):
        (site.root / LATEST).write_bytes(wrong.to_bytes())
        with pytest.raises(FetchError, match="signed"):
            get(site, here)  # the key stays pinned without being named again
    (site.root / LATEST).write_bytes(later.to_bytes())
    assert get(site, here).new
    (site.root / LATEST).write_bytes(signed.release.to_bytes())
    with pytest.raises(FetchError, match="offers release 1, and 2 was installed before"):
        get(site, here)
    assert get(site, here, older=True).new
    with pytest.raises(ConfigError, match="holds no public Ed25519 key"):
        get(site, here, key=folder / "items.txt")
    with pytest.raises(ConfigError, match="holds no private Ed25519 key"):
        publish(folder, site.root, sign=f"{mine}.pub")


def test_without_the_extra_signatures_are_never_passed_over(
    folder: Path, site: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, site.root)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ConfigError, match=r"pip install 'pocketrec\[secure\]'"):
        get(site, here, key="0" * 64)
    assert get(site, here).new
