# SPDX-License-Identifier: Apache-2.0
"""Terms of a release: its number, its expiry, the share of shards; and what else a publisher writes."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from publishing import changed, get
from server import Server

from pocketrec.cli import main
from pocketrec.device.base.errors import ConfigError, FetchError
from pocketrec.device.contract.shards import shard_of
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.release import LATEST, Release
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.changelog import read_lines
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms, staged

DAY = 86_400


def at(monkeypatch: pytest.MonkeyPatch, moment: float) -> None:
    """Set the device's clock."""
    monkeypatch.setattr("pocketrec.device.delivery.trust.time.time", lambda: moment)


# --- numbers ----------------------------------------------------------------------------------------------------


def test_a_publisher_that_starts_from_an_empty_folder_numbers_by_the_time(
    folder: Path, site: Server, here: Path, keys: list[Path]
) -> None:
    publish(folder, site.root, sign=keys[0])
    get(site, here, key=f"{keys[0]}.pub")
    shutil.rmtree(site.root)
    before = int(time.time())
    release = publish(changed(folder, "later"), site.root, sign=keys[0], terms=Terms(serial="time")).release
    assert before <= release.serial <= time.time()
    assert get(site, here).new
    shutil.rmtree(site.root)
    publish(changed(folder, "counted"), site.root, sign=keys[0])
    with pytest.raises(FetchError, match=f"offers release 1, and {release.serial} was installed before"):
        get(site, here)


def test_serials_that_devices_would_refuse_or_that_block_the_next_ones(folder: Path, site: Server) -> None:
    publish(folder, site.root, terms=Terms(serial=5))
    before = {path: path.read_bytes() for path in site.root.rglob("*.json*")}
    later = changed(folder, "later")
    for serial, match in (
        (5, "is not above 5"), (4, "is not above 5"), (int(time.time()) + 2 * DAY, "more than a day ahead"),
        (0, "whole number from 1"), (-1, "whole number from 1"), ("5", "whole number from 1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=match):
            publish(later, site.root, terms=Terms(serial=serial))
    assert {path: path.read_bytes() for path in site.root.rglob("*.json*")} == before
    assert publish(later, site.root, terms=Terms(serial=int(time.time()) + 3600)).new
    assert publish(folder, site.root).release.serial > time.time()  # one more than the latest


# --- expiry -----------------------------------------------------------------------------------------------------


def test_an_expired_release_is_not_installed_and_the_device_serves_on(
    folder: Path, site: Server, here: Path, keys: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, site.root, sign=keys[0])
    first = get(site, here, users=["u1"], key=f"{keys[0]}.pub")
    now = time.time()
    publish(changed(folder, "later"), site.root, sign=keys[0], terms=Terms(expires=int(now) + DAY))
    at(monkeypatch, now + 2 * DAY)
    pulled = get(site, here)
    assert (pulled.new, pulled.folder, pulled.reason) == (False, first.folder, "the latest release has expired")
    assert "has expired and is not installed" in pulled.notes[0]
    assert open_bundle(here).candidates_of("u1") is not None
    with pytest.raises(FetchError, match=r"release 2 of .* has expired: ask the publisher"):
        get(site, here.with_name("fresh"), key=f"{keys[0]}.pub")
    at(monkeypatch, now + 3600)
    assert get(site, here).new
    at(monkeypatch, now + 2 * DAY)
    frozen = get(site, here)
    assert (frozen.new, frozen.received) == (False, 0)
    assert "which is in use, has expired" in frozen.notes[0]
    assert get(site, here.with_name("fresh"), key=f"{keys[0]}.pub", older=True).new  # where a person says so


def test_a_clock_before_the_newest_release_does_not_count(
    folder: Path, site: Server, here: Path, keys: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    publish(folder, site.root, sign=keys[0], terms=Terms(expires=int(now) + DAY))
    at(monkeypatch, 3600.0)  # 1970
    assert get(site, here, key=f"{keys[0]}.pub").new
    pin = read_pin(here, read_current(here))
    assert now - 2 <= pin.clock <= now + 2
    old = (site.root / LATEST).read_bytes()
    monkeypatch.setattr("pocketrec.export.bundle.release.time.time", lambda: now + 10 * DAY)
    publish(changed(folder, "later"), site.root, sign=keys[0], terms=Terms(expires=int(now) + 20 * DAY))
    at(monkeypatch, now + 5 * DAY)  # a clock that is behind what was seen
    assert get(site, here).new
    assert read_pin(here, read_current(here)).clock == int(now + 10 * DAY)
    (site.root / LATEST).write_bytes(old)
    with pytest.raises(FetchError, match="was installed before"):
        get(site, here)


def test_an_expiry_cannot_be_taken_off(folder: Path, site: Server, here: Path, keys: list[Path]) -> None:
    release = publish(folder, site.root, sign=keys[0], terms=Terms(expires=int(time.time()) + DAY)).release
    table = json.loads(release.to_bytes())
    for change in ({"expires": table["expires"] + DAY}, {"published": 1}, {"expires": 0}):
        (site.root / LATEST).write_text(json.dumps({**table, **change}))
        with pytest.raises(FetchError, match="not signed with the pinned key"):
            get(site, here, key=f"{keys[0]}.pub")
    del table["expires"]
    (site.root / LATEST).write_text(json.dumps(table))
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(site, here, key=f"{keys[0]}.pub")
    with pytest.raises(ConfigError, match="expired already"):
        Terms(expires=int(time.time()) - 5)


# --- a share of the shards --------------------------------------------------------------------------------------


def test_a_staged_release_goes_to_its_shards_and_the_others_have_the_one_before(
    folder: Path, site: Server, here: Path, keys: list[Path]
) -> None:
    users = {shard: next(f"u{n}" for n in range(20) if shard_of(f"u{n}", 3) == shard) for shard in range(3)}
    devices = {shard: here.with_name(f"device {shard}") for shard in users}
    first = publish(folder, site.root, sign=keys[0]).release
    for shard in (0, 1):
        get(site, devices[shard], users=[users[shard]], key=f"{keys[0]}.pub")
    later = changed(folder, "later")
    staged = publish(later, site.root, sign=keys[0], keep=1, terms=Terms(share=0.3)).release
    assert staged.staged is not None
    assert (staged.staged.first, staged.staged.shards) == (1, 3)
    assert get(site, devices[0]).new
    outside = get(site, devices[1])
    assert (outside.new, outside.serial) == (False, 1)
    assert get(site, devices[1]).received == 0
    fresh = get(site, devices[2], users=[users[2]], key=f"{keys[0]}.pub")  # never without a version
    assert (fresh.new, fresh.folder.name) == (True, first.manifest[:16])
    wider = publish(later, site.root, sign=keys[0], keep=1, terms=Terms(share=0.5)).release
    assert (wider.serial, wider.staged and wider.staged.serial) == (3, 1)
    assert get(site, devices[1]).new
    assert not get(site, devices[2]).new
    moved = get(site, devices[0], users=[users[2]])  # in the share by one of its users
    assert moved.folder.name == wider.manifest[:16]
    publish(later, site.root, sign=keys[0], keep=1)
    for device in devices.values():
        get(site, device)
        assert open_bundle(device).folder.name == wider.manifest[:16]


def test_without_candidate_sets_a_share_is_of_groups_of_users(folder: Path, site: Server) -> None:
    found = staged(publish(folder, site.root).release, 0, 0.25)
    assert (found.serial, found.first, found.shards) == (1, 1024, 4096)
    users = [shard_of(f"u{number}", found.shards) < found.first for number in range(2000)]
    assert sum(users) == pytest.approx(500, abs=80)


def test_shares_that_are_none(folder: Path, site: Server) -> None:
    with pytest.raises(ConfigError, match="publish one for all first"):
        publish(folder, site.root, terms=Terms(share=0.5))
    publish(folder, site.root)
    for share in (0.0, 1.0, -1, 2.0):
        with pytest.raises(ConfigError, match="a share lies between 0 and 1"):
            Terms(share=share)
    with pytest.raises(ConfigError, match=r"of 3 candidate shards, a share of 0\.9 is none or all"):
        publish(folder, site.root, terms=Terms(share=0.9))


# --- what else is written ---------------------------------------------------------------------------------------


def test_of_a_run_the_packed_form_is_sent(
    made: Path, site: Server, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(made, run / "bundle")
    left_out = shutil.ignore_patterns(".*", "model.tflite")
    shutil.copytree(made.with_name(made.name + ".packed"), run / "packed", ignore=left_out)
    assert main(["publish", str(run), "--to", str(site.root)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["serial"], told["source"]) == (1, str(run / "packed"))
    get(site, here, users=["u1"])
    packed = open_bundle(here)
    assert packed.manifest.packed
    assert main(["publish", str(run), "--to", str(site.root), "--plain", "--note", "as it was"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["source"] == str(run / "bundle")
    get(site, here)
    assert open_bundle(here).manifest.model_id == packed.manifest.model_id
    assert not open_bundle(here).manifest.packed


def test_the_changelog_has_a_line_for_each_release(
    folder: Path, site: Server, keys: list[Path], digits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["publish", "--to", str(site.root), "--keep", "1"]
    for number in range(3):
        assert main([*words, str(changed(folder, f"r{number}")), "--note", f"number {number}"]) == 0
    more = ["--sign", str(keys[0]), "--sign", str(keys[1]), "--trust", digits[0], "--trust", f"{keys[1]}.pub"]
    assert main([*words, str(changed(folder, "r3")), "--expires", "30", *more]) == 0
    lines = read_lines(site.root / "changelog.jsonl")
    assert [(line["serial"], line["note"]) for line in lines[:3]] == [(n + 1, f"number {n}") for n in range(3)]
    assert lines[3]["signed_by"] == lines[3]["keys"] == digits[:2]
    assert lines[3]["expires"] > lines[3]["time"]
    assert [path.name for path in (site.root / "releases").iterdir()] == ["4.json"]
    capsys.readouterr()
    for options, match in (
        (["--serial", "x"], "is not a number"), (["--serial", "9" * 30], "is not a number"),
        (["--expires", "-1"], "--expires"), (["--share", "7"], "a share lies"),
        (["--trust", "nobody.pub"], "cannot read the public key"),
    ):  # fmt: skip
        assert main([*words, str(folder), "--sign", str(keys[0]), *options]) == 2
        assert match in capsys.readouterr().err
    assert len(read_lines(site.root / "changelog.jsonl")) == 4


def test_fields_of_later_versions_are_signed_and_left_out(
    folder: Path, site: Server, here: Path, keys: list[Path]
) -> None:
    from pocketrec.device.delivery.signing import read_private
    from pocketrec.export.bundle.terms import signed

    table = json.loads(publish(folder, site.root).release.to_bytes())
    later = Release.from_bytes(json.dumps({**table, "threshold": 2, "mirrors": ["x", {"y": 1.5}]}).encode(), "x")
    release = signed(later, [read_private(keys[0])])
    (site.root / LATEST).write_bytes(release.to_bytes())
    assert get(site, here, key=f"{keys[0]}.pub").new
    table = json.loads(release.to_bytes())
    (site.root / LATEST).write_text(json.dumps({**table, "threshold": 1}))
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(site, here.with_name("other"), key=f"{keys[0]}.pub")
