# SPDX-License-Identifier: Apache-2.0
"""What servers and devices hold stays usable: current.json from before pin.json, and fields of versions to come."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import get, offer
from server import Server, serving

from pocketrec.device.base.errors import FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.release import LATEST, Release, name_of, rotation_of
from pocketrec.device.delivery.signing import public_digits, read_private
from pocketrec.device.delivery.versions import read_current

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
UPDATES = GOLDEN / "updates"
FILES = ("current.json", "current.later.json")


@pytest.fixture
def www(tmp_path: Path) -> Iterator[Server]:
    """The golden releases on a server: release 3 is signed with a key that release 2 has named."""
    pytest.importorskip("cryptography")
    root = Path(shutil.copytree(GOLDEN / "published" / "bundle.packed", tmp_path / "golden www"))
    release = Release.from_bytes((UPDATES / LATEST).read_bytes(), LATEST)
    shutil.copy(UPDATES / "manifest.json", root / name_of(release.manifest))
    shutil.copy(UPDATES / LATEST, root / LATEST)
    place = root / rotation_of(public_digits(read_private(GOLDEN / "publisher.key")))
    place.parent.mkdir()
    shutil.copy(UPDATES / "rotation.json", place)
    with serving(root) as server:
        yield server


def device(here: Path, current: str, *, pin: bool) -> str:
    """A folder of versions as a device has it; gives the key that it has pinned."""
    table = json.loads((UPDATES / current).read_bytes())
    shutil.copytree(GOLDEN / "bundle", here / "versions" / table["current"])
    shutil.copy(UPDATES / current, here / "current.json")
    if pin:
        shutil.copy(UPDATES / "pin.json", here / "pin.json")
    return str(table["key"])


@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.parametrize("current", FILES)
def test_a_pin_of_then_is_kept_and_followed_to_the_next_key(www: Server, here: Path, current: str, pin: bool) -> None:
    key = device(here, current, pin=pin)
    assert open_bundle(here).candidates_of("u1") is not None
    assert read_pin(here, read_current(here)).keys == (key,)
    honest = (www.root / LATEST).read_bytes()
    offer(www.root, (GOLDEN / "bundle" / "manifest.json").read_bytes(), 9)
    with pytest.raises(FetchError, match="is not signed, and a key is pinned"):
        get(www, here)
    (www.root / LATEST).write_bytes(honest)
    pulled = get(www, here)
    assert (pulled.new, pulled.serial) == (True, 3)
    assert open_bundle(here).candidates_of("u1") is not None
    assert read_pin(here, None).keys == (public_digits(read_private(UPDATES / "next.key")),)
    assert read_pin(here, None).revoked == (key,)


def test_fields_of_later_versions_are_signed(www: Server, here: Path) -> None:
    device(here, "current.json", pin=False)
    table = json.loads((www.root / LATEST).read_bytes())
    for change in ({"later_number": 8}, {"later_table": {}}, {"another": 1}):
        (www.root / LATEST).write_text(json.dumps({**table, **change}))
        with pytest.raises(FetchError, match="not signed with the pinned key"):
            get(www, here)
    del table["later_text"]
    (www.root / LATEST).write_text(json.dumps(table))
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(www, here)


def test_a_manifest_with_fields_of_later_versions_is_opened(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "bundle.packed", tmp_path / "bundle"))
    plain = open_bundle(folder).manifest
    shutil.copy(UPDATES / "manifest.json", folder / "manifest.json")
    assert open_bundle(folder).manifest == plain
