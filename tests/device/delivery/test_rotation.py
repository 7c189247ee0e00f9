# SPDX-License-Identifier: Apache-2.0
"""Keys that change: two at once, chains for devices that were offline, revocation, and what is replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from publishing import changed, get
from server import Server

from pocketrec.device.base.errors import ConfigError, FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import Pin, read_pin
from pocketrec.device.delivery.release import LATEST, Release, rotation_of
from pocketrec.device.delivery.signing import read_private
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import Published, publish
from pocketrec.export.bundle.terms import Terms, signed


class Publisher:
    """Publishes one release after the other."""

    def __init__(self, folder: Path, site: Server) -> None:
        self.folder, self.root, self.count = folder, site.root, 0

    def __call__(self, *sign: Path, trust: list[str] | None = None) -> Published:
        self.count += 1
        bundle = changed(self.folder, f"release {self.count}")
        return publish(bundle, self.root, sign=sign, terms=Terms(keys=tuple(trust or ())))


@pytest.fixture
def publisher(folder: Path, site: Server) -> Publisher:
    return Publisher(folder, site)


def pin_of(here: Path) -> Pin:
    return read_pin(here, read_current(here))


def test_a_device_that_is_online_takes_over_both_keys_and_then_the_new_one(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    old, new, _ = keys
    publisher(old)
    get(site, here, key=digits[0])
    publisher(old, trust=digits[:2])
    get(site, here)
    assert pin_of(here).keys == tuple(digits[:2])
    for signer in (new, old, new):  # two keys at once: either will do
        publisher(signer)
        assert get(site, here).new
    publisher(new, trust=digits[1:2])
    get(site, here)
    assert pin_of(here).keys == (digits[1],)
    assert pin_of(here).revoked == (digits[0],)
    assert "/" + rotation_of(digits[0]) not in site.paths(), "the chain is for devices that were offline"
    assert get(site, here, key=digits[0]).reason == "nothing new", "a timer that names the first key changes nothing"
    assert pin_of(here).keys == (digits[1],)


@pytest.mark.parametrize("both", [True, False])
def test_a_device_that_was_offline_for_two_rotations_follows_the_chain(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str], both: bool
) -> None:
    publisher(keys[0])
    get(site, here, key=digits[0])
    for place in (0, 1):
        if both:
            publisher(keys[place], trust=digits[place : place + 2])
            publisher(keys[place + 1], trust=digits[place + 1 : place + 2])
        else:
            publisher(keys[place], trust=digits[place + 1 : place + 2])
        publisher(keys[place + 1])
    latest = publisher(keys[2])
    pulled = get(site, here)
    assert (pulled.new, pulled.serial) == (True, latest.release.serial)
    assert pin_of(here).keys == (digits[2],)
    assert set(pin_of(here).revoked) == set(digits[:2])
    assert open_bundle(here).folder.name == latest.release.manifest[:16]
    fresh = here.with_name("fresh")  # a new device that still has the first key in its image
    assert get(site, fresh, key=digits[0]).new


def test_a_revoked_key_is_not_taken_any_more(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    publisher(keys[0])
    get(site, here, key=digits[0])
    publisher(keys[0], trust=digits[:2])
    revoking = publisher(keys[1], trust=digits[1:2]).release
    get(site, here)
    thief = replace(revoking, serial=revoking.serial + 1, keys=(digits[0],))
    for release in (thief, replace(thief, keys=())):
        (site.root / LATEST).write_bytes(signed(release, [read_private(keys[0])]).to_bytes())
        with pytest.raises(FetchError, match="not signed with the pinned key"):
            get(site, here)
    fresh = here.with_name("fresh")
    (site.root / LATEST).write_bytes(revoking.to_bytes())
    get(site, fresh, key=digits[1])
    with pytest.raises(ConfigError, match=r"the key [0-9a-f]{64} was revoked by its publisher"):
        pin_of(here).given(digits[2]).given(digits[0])


def test_a_rotation_that_is_replayed_brings_no_revoked_key_back(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    publisher(keys[0])
    publisher(keys[0], trust=digits[:2])
    replayed = (site.root / rotation_of(digits[0])).read_bytes()
    get(site, here, key=digits[0])
    last = publisher(keys[0], trust=digits[:1]).release  # the second key was stolen
    get(site, here)
    assert pin_of(here).keys == (digits[0],)
    (site.root / rotation_of(digits[0])).write_bytes(replayed)
    stolen = signed(replace(last, serial=last.serial + 1, keys=()), [read_private(keys[1])])
    (site.root / LATEST).write_bytes(stolen.to_bytes())
    with pytest.raises(FetchError, match="not signed with the pinned key"):
        get(site, here)
    assert pin_of(here).keys == (digits[0],)


def test_rotations_of_others_lead_nowhere(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    first = publisher(keys[0]).release
    get(site, here, key=digits[0])
    foreign = read_private(keys[2])
    (site.root / LATEST).write_bytes(signed(replace(first, serial=9), [foreign]).to_bytes())
    path = site.root / rotation_of(digits[0])
    path.parent.mkdir(exist_ok=True)
    honest = signed(replace(first, serial=5, keys=(digits[2],)), [read_private(keys[0])])
    for rotation in (
        signed(replace(honest, signature=""), [foreign]),  # signed by the key that it brings in
        replace(honest, signature=""),
        replace(honest, serial=6),  # signed as 5
        signed(replace(honest, keys=(), signature=""), [read_private(keys[0])]),  # names no key
        signed(replace(honest, keys=(digits[1],), signature=""), [read_private(keys[0])]),  # leads to another key
    ):
        path.write_bytes(rotation.to_bytes())
        with pytest.raises(FetchError, match=r"is not signed with the pinned key[^\n]*$"):
            get(site, here)
        assert pin_of(here).keys == (digits[0],)
    path.write_bytes(b"<html>")
    with pytest.raises(FetchError, match=r"is no latest\.json"):
        get(site, here)
    path.write_bytes(honest.to_bytes())
    assert get(site, here).serial == 9


def test_after_a_rotation_an_older_latest_json_is_refused(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    publisher(keys[0])
    get(site, here, key=digits[0])
    old = publisher(keys[0]).release
    publisher(keys[0], trust=digits[1:2])
    get(site, here)
    (site.root / LATEST).write_bytes(signed(replace(old, signature=""), [read_private(keys[1])]).to_bytes())
    with pytest.raises(FetchError, match="offers release 2, and 3 was installed before"):
        get(site, here)


def test_a_chain_without_end_is_given_up(
    publisher: Publisher, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    """Two keys that lead to each other, with ever larger numbers."""
    first = publisher(keys[0]).release
    get(site, here, key=digits[0])
    (site.root / LATEST).write_bytes(signed(replace(first, serial=10**6), [read_private(keys[2])]).to_bytes())
    (site.root / "rotations").mkdir(exist_ok=True)
    private = [read_private(key) for key in keys[:2]]

    def endless(handler: object) -> bool:
        for place in (0, 1):
            release = replace(first, serial=len(site.asked) * 2 + place, keys=(digits[0], digits[1]))
            content = signed(release, [private[place]]).to_bytes()
            (site.root / rotation_of(digits[place])).write_bytes(content)
        return False

    site.fault = endless
    with pytest.raises(FetchError, match="more than 64 changes of keys"):
        get(site, here)
    assert len(site.asked) < 300


def test_what_devices_would_refuse_is_not_published(
    folder: Path, publisher: Publisher, site: Server, keys: list[Path], digits: list[str]
) -> None:
    publisher(keys[0])
    with pytest.raises(ConfigError, match="has to be signed"):
        publisher(trust=digits[:1])
    with pytest.raises(ConfigError, match="was signed with another key"):
        publisher(keys[1], trust=digits[1:2])
    publisher(keys[0], trust=digits[:2])
    with pytest.raises(ConfigError, match="devices trust other keys"):
        publisher(keys[2])
    with pytest.raises(ConfigError, match="has to be signed"):
        publisher()
    both = publisher(keys[0], keys[1]).release
    assert len(both.all_signatures()) == 2
    assert both.keys == tuple(digits[:2]), "a release says which keys are trusted, so that who missed one learns it"
    bundle = changed(folder, "the same")
    again = publish(bundle, site.root, sign=keys[0])
    assert not publish(bundle, site.root, sign=keys[0]).new
    assert Release.from_bytes(json.dumps(json.loads(again.release.to_bytes())).encode(), "x") == again.release
