# SPDX-License-Identifier: Apache-2.0
"""A device that nobody looks at: 30 releases, and what goes wrong in a few years. It always recommends, and never with
an unsigned or older model."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from publishing import changed, get
from server import Server

from pocketrec.device import Recommender
from pocketrec.device.base.errors import FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.pull import Pulled
from pocketrec.device.delivery.release import LATEST, Release
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms

pytestmark = pytest.mark.slow  # not `runtime`: whichever it is, pull and versions are as they are
DAY = 86_400


@dataclass
class Device:
    """A device with a timer that pulls, and a user."""

    here: Path
    site: Server
    places: dict[str, int]  # by version, which release it is
    latest: list[bytes] = field(default_factory=list)  # each latest.json that the server had
    in_use: int = 0

    def pull(self) -> Pulled:
        try:
            return get(self.site, self.here)
        finally:
            self.look()

    def look(self) -> None:
        """Recommend, and see that the version in use is signed and none that is older than before."""
        recommender = Recommender(self.here, user="u1")
        assert len(recommender.recommend(3)) == 3
        recommender.close()
        place = self.places[open_bundle(self.here).folder.name]
        assert place >= self.in_use, f"release {place} is older than {self.in_use}"
        self.in_use = place

    def attack(self) -> None:
        """Offer what is not signed, and what is old, as they were at each time."""
        honest = (self.site.root / LATEST).read_bytes()
        table = json.loads(honest)
        offers = [json.dumps({**table, "signature": "", "serial": table["serial"] + 1}).encode()]
        offers += [self.latest[0], self.latest[len(self.latest) // 2]] if len(self.latest) > 4 else []
        for content in offers:
            (self.site.root / LATEST).write_bytes(content)
            with pytest.raises(FetchError):
                self.pull()
        (self.site.root / LATEST).write_bytes(honest)


def test_an_unattended_device_always_recommends_and_never_with_an_unsigned_or_older_model(
    folder: Path, site: Server, here: Path, keys: list[Path], digits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, (one, two, three), now = time.time(), keys, [0.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    places: dict[str, int] = {}
    device, expired = Device(here, site, places), 0
    for number in range(1, 31):
        sign, trust = one if number < 9 else two if number < 23 else three, ()
        match number:
            case 8:
                trust = tuple(digits[:2])  # the first rotation: both keys for a time,
            case 12:
                trust = (digits[1],)  # and then the new one alone
            case 22:
                trust = (digits[2],)  # the second rotation, in one step
        bundle = changed(folder, f"release {number}")
        today = start + 30 * DAY * number
        now[0] = today - 90 * DAY if number == 15 else today  # 15 was left lying about until it had expired
        terms = Terms(keys=trust, expires=int(now[0]) + 60 * DAY)
        release = publish(bundle, site.root, sign=sign, terms=terms).release
        now[0] = 7200.0 if number in (20, 21) else today + 3600  # no battery: 1970
        shutil.rmtree(bundle)
        places[release.manifest[:16]] = number
        if number == 1:
            get(site, here, users=["u1"], key=digits[0])
        if number == 18:
            (here / "current.json").unlink()
            device.look()
        if number == 6:
            (here / "current.json").write_bytes((here / "current.json").read_bytes()[:30])
            device.look()
        if number in (9, 10, 11, 12, 23, 24):  # no network: it hears of the rotations later
            device.look()
            device.latest.append(release.to_bytes())
            continue
        pulled = device.pull()
        if number == 15:
            assert pulled.reason == "the latest release has expired"
            expired += 1
        else:
            assert device.in_use == number
        device.latest.append(release.to_bytes())
        device.attack()
    assert device.in_use == 30
    assert expired == 1
    pin = read_pin(here, read_current(here))
    assert (pin.keys, pin.named) == ((digits[2],), digits[0])
    assert set(pin.revoked) == set(digits[:2])
    assert pin.serial == Release.from_bytes((site.root / LATEST).read_bytes(), "").serial == 30
