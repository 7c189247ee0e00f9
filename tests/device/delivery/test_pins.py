# SPDX-License-Identifier: Apache-2.0
"""A pinned key and the largest serial outlive a torn, lost or unreadable current.json, and other addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from publishing import changed, get
from server import Server, serving
from traces import traces

from pocketrec.device.base.errors import BundleError, ConfigError, FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import Pin, read_pin
from pocketrec.device.delivery.pull import rollback
from pocketrec.device.delivery.release import LATEST
from pocketrec.device.delivery.versions import Current, folder_of, forget_user, read_current
from pocketrec.export.bundle.release import publish

COPIES = ("current.json", "current.copy.json")


def lose(here: Path, names: tuple[str, ...], how: str) -> None:
    for name in names:
        path = here / name
        if how == "missing":
            path.unlink()
        elif how == "torn":
            path.write_bytes(path.read_bytes()[:40])
        else:
            path.write_bytes(b"\x00" * 500)


@pytest.mark.parametrize("how", ["missing", "torn", "zeros"])
@pytest.mark.parametrize("names", [COPIES[:1], COPIES[1:], COPIES])
def test_a_lost_current_json_keeps_the_pin_and_the_serial(
    folder: Path, site: Server, here: Path, keys: list[Path], names: tuple[str, ...], how: str
) -> None:
    publish(folder, site.root, sign=keys[0])
    old = (site.root / LATEST).read_bytes()
    publish(changed(folder, "later"), site.root, sign=keys[0])
    get(site, here, users=["u1"], key=f"{keys[0]}.pub")
    lose(here, names, how)
    if names != COPIES:  # the other one serves
        assert open_bundle(here).candidates_of("u1") is not None
    now = (site.root / LATEST).read_bytes()
    unsigned = json.loads(now)
    unsigned["signature"] = ""
    (site.root / LATEST).write_text(json.dumps(unsigned))
    with pytest.raises(FetchError, match="is not signed, and a key is pinned"):
        get(site, here)
    (site.root / LATEST).write_bytes(old)
    with pytest.raises(FetchError, match="offers release 1, and 2 was installed before"):
        get(site, here)
    (site.root / LATEST).write_bytes(now)
    get(site, here)
    assert read_current(here) is not None
    open_bundle(here)


def test_without_pin_and_current_json_nobody_guesses(
    folder: Path, site: Server, here: Path, keys: list[Path]
) -> None:
    publish(folder, site.root)
    get(site, here)
    for name in (*COPIES, "pin.json"):
        (here / name).unlink()
    with pytest.raises(BundleError, match=r"tell which key is pinned: pull with the address and --key KEY\.pub"):
        get(site, here)
    assert get(site, here, key="none").new
    (here / "pin.json").write_bytes(b"{")
    with pytest.raises(BundleError, match=r"pin\.json is damaged .*--key"):
        get(site, here)
    publish(folder, site.root, sign=keys[0])
    get(site, here, key=f"{keys[0]}.pub")
    assert read_pin(here, None).serial == 1


def test_what_cannot_be_read_is_no_missing_file(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    get(site, here)
    for name in (*COPIES, "pin.json"):
        (here / name).unlink()
        (here / name).mkdir()  # reading it fails, for root too
    with pytest.raises(BundleError, match="cannot be read"):
        open_bundle(here)
    with pytest.raises(BundleError, match=r"pin\.json cannot be read"):
        get(site, here)


def test_the_pin_of_an_earlier_version_is_carried_over(
    folder: Path, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    publish(folder, site.root, sign=keys[0])
    get(site, here, key=digits[0])
    for name in ("pin.json", "current.copy.json"):  # as before there were such files
        (here / name).unlink()
    table = json.loads((here / "current.json").read_bytes())
    assert (table["key"], table["serial"]) == (digits[0], 1)
    (here / "current.json").write_text(json.dumps({**table, "serial": 7, "etag": ""}))
    pin = read_pin(here, read_current(here))
    assert (pin.named, pin.keys, pin.serial) == (digits[0], (digits[0],), 7)
    with pytest.raises(FetchError, match="offers release 1, and 7 was installed before"):
        get(site, here)
    publish(changed(folder, "foreign"), site.root / "foreign", sign=keys[1])
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(f"{site.url}/foreign", here)
    (here / "current.json").write_text(json.dumps(table))
    get(site, here)
    (here / "current.json").unlink()
    assert read_pin(here, None).keys == (digits[0],)


def test_an_old_signed_release_at_another_address_is_refused(
    folder: Path, site: Server, here: Path, keys: list[Path], tmp_path: Path
) -> None:
    publish(folder, site.root / "old", sign=keys[0])
    publish(folder, site.root / "new", sign=keys[0])
    publish(changed(folder, "later"), site.root / "new", sign=keys[0])
    get(f"{site.url}/new", here, key=f"{keys[0]}.pub")
    with pytest.raises(FetchError, match="offers release 1, and 2 was installed before"):
        get(f"{site.url}/old", here)
    (tmp_path / "mirror").mkdir()
    publish(folder, tmp_path / "mirror", sign=keys[0])
    with serving(tmp_path / "mirror") as mirror, pytest.raises(FetchError, match="2 was installed before"):
        get(mirror, here)
    assert get(f"{site.url}/old", here, older=True).new


def test_serials_are_kept_for_each_key(folder: Path, site: Server, here: Path, keys: list[Path]) -> None:
    for number in range(3):
        publish(changed(folder, f"r{number}"), site.root / "one", sign=keys[0])
    publish(folder, site.root / "two", sign=keys[1])
    get(f"{site.url}/one", here, key=f"{keys[0]}.pub")
    assert get(f"{site.url}/two", here, key=f"{keys[1]}.pub").serial == 1  # another publisher, asked for by a person
    publish(folder, site.root / "replayed", sign=keys[0])
    with pytest.raises(FetchError, match="offers release 1, and 3 was installed before"):
        get(f"{site.url}/replayed", here, key=f"{keys[0]}.pub")


def test_a_wrong_key_is_not_pinned(folder: Path, site: Server, here: Path, keys: list[Path], digits: list[str]) -> None:
    publish(folder, site.root, sign=keys[0])
    get(site, here, key=digits[0])
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(site, here, key=digits[1])
    assert read_pin(here, read_current(here)).keys == (digits[0],)
    assert not get(site, here).new
    get(site, here, key="none")
    assert read_pin(here, read_current(here)).keys == ()
    publish(changed(folder, "unsigned"), site.root / "unsigned")
    assert get(f"{site.url}/unsigned", here).new


def test_who_is_forgotten_is_in_no_copy(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    get(site, here, users=["somebody-1"])
    assert forget_user(here, "somebody-1")
    assert not any(traces((here / name).read_bytes(), "somebody-1") for name in (*COPIES, "pin.json"))
    (here / "current.json").unlink()
    assert folder_of(open_bundle(here).folder) == here


def test_a_rollback_keeps_the_pin_and_its_number(folder: Path, site: Server, here: Path, keys: list[Path]) -> None:
    first = publish(folder, site.root, sign=keys[0]).release
    old = (site.root / LATEST).read_bytes()
    publish(changed(folder, "later"), site.root, sign=keys[0])
    (site.root / LATEST).write_bytes(old)
    get(site, here, key=f"{keys[0]}.pub")
    publish(changed(folder, "latest"), site.root, sign=keys[0])
    get(site, here)
    rollback(here)
    (here / "current.json").unlink()
    assert open_bundle(here).folder.name == first.manifest[:16]
    (site.root / LATEST).write_bytes(old)
    with pytest.raises(FetchError, match="was installed before"):
        get(site, here)


@pytest.mark.parametrize(
    "table",
    [
        [], {"keys": ["x"]}, {"keys": "0" * 64}, {"named": "0" * 64}, {"serials": {"x": 1}}, {"clock": -1},
        {"named": 5}, {"serials": {"0" * 64: 1 << 60}}, {"named": "0" * 64, "keys": ["0" * 64], "keyed": None},
        {"revoked": {}},
    ],
)  # fmt: skip
def test_a_damaged_pin_is_one_line(tmp_path: Path, table: object) -> None:
    (tmp_path / "pin.json").write_text(json.dumps(table))
    with pytest.raises(BundleError, match=r"pin\.json is damaged \([^\n]*--key none"):
        read_pin(tmp_path, Current())


def test_fields_of_later_versions_are_left_out(tmp_path: Path) -> None:
    Pin().given("0" * 64).write(tmp_path)
    table = json.loads((tmp_path / "pin.json").read_bytes())
    (tmp_path / "pin.json").write_text(json.dumps({**table, "threshold": 2}))
    assert read_pin(tmp_path, None).keys == ("0" * 64,)
    with pytest.raises(ConfigError, match="was revoked"):
        Pin().given("0" * 64).adopted(["1" * 64], 5).given("1" * 64).adopted(["2" * 64], 6).given("1" * 64)
