# SPDX-License-Identifier: Apache-2.0
"""Java's pull: the tests of Python's, which are the table of cases that both have to answer in the same way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import by_java
import pytest
from by_java import JAVA, Java
from java_recommender import JavaRecommender
from publishing import QUICK, changed, get
from server import Handler, Server

from pocketrec.device.base.errors import BundleError, FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.pull import rollback
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.terms import Terms

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]


def _get(site: Server | str, here: object, **options: object) -> object:
    """`publishing.get`, by Java."""
    url = site if isinstance(site, str) else site.url
    return by_java.pull(url, here, **{"patience": QUICK, **options})  # type: ignore[arg-type]


BY_JAVA: dict[str, object] = {"pull": by_java.pull, "rollback": by_java.rollback, "get": _get}

# What is left out: publishing, which is Python's alone; the command line; Python's own HTTP and its proxies; and where
# a test looks inside Python's objects.
for _file, _left_out in {
    "device/delivery/conftest.py": set(),
    "device/conftest.py": set(),
    "device/delivery/test_pull.py": {
        "test_a_full_disk_keeps_the_version_in_use",
        "test_nothing_of_the_user_is_sent",
        "test_damage_on_the_device_is_mended_by_pulling",
        "test_two_pulls_at_once",
    },
    "device/delivery/test_pull_servers.py": {
        "test_retries_wait_longer_and_longer_and_as_long_as_the_server_asks",
    },
    "device/delivery/test_pull_manifests.py": {"test_without_the_extra_signatures_are_never_passed_over"},
    "device/delivery/test_pull_commands.py": {
        "test_commands",
        "test_publishing_keeps_what_the_latest_releases_need",
        "test_proxies_are_found_by_the_rules_of_the_standard_library",
    },
    "device/delivery/test_hostile.py": {
        "test_plain_http_without_a_key_is_told_each_time",
        "test_logins_are_split_off",
        "test_an_application_hands_in_its_own_http",
        "test_a_crash_log_is_its_owners_and_has_a_name_that_cannot_be_guessed",
        "test_user_and_password_of_an_address_are_sent_and_never_shown",
    },
    "device/delivery/test_pins.py": set(),
    "device/delivery/test_rotation.py": {"test_what_devices_would_refuse_is_not_published"},
    "device/delivery/test_terms.py": {
        "test_a_publisher_that_starts_from_an_empty_folder_numbers_by_the_time",
        "test_serials_that_devices_would_refuse_or_that_block_the_next_ones",
        "test_shares_that_are_none",
        "test_of_a_run_the_packed_form_is_sent",
        "test_the_changelog_has_a_line_for_each_release",
    },
    "device/delivery/test_golden_updates.py": set(),
}.items():
    globals().update(by_java.cases(_file, BY_JAVA, _left_out))
_UNATTENDED = "device/delivery/test_unattended.py"  # thirty releases, and Java recommends after each of them
globals().update(by_java.cases(_UNATTENDED, {**BY_JAVA, "Recommender": JavaRecommender}, set()))


def test_nothing_of_the_user_is_sent_by_java(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    by_java.pull(site.url, here, users=["u3", "somebody by name"])
    by_java.pull(site.url, here)
    assert site.uploaded == 0
    assert {name for _, headers in site.asked for name in headers} <= {
        "Accept", "Accept-Encoding", "Cache-Control", "Connection", "Host", "If-None-Match", "Pragma", "User-Agent",
    }  # fmt: skip
    assert {(headers["User-Agent"], headers["Accept"]) for _, headers in site.asked} == {("pocketrec", "*/*")}
    assert "somebody" not in repr(site.asked)
    assert "u3" not in repr(site.asked)


def test_a_password_is_sent_and_never_shown(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)

    def guarded(handler: Handler) -> bool:
        if handler.headers.get("Authorization") == "Basic YW7DpDpzM2NyOmV0QHg=":  # an\xe4:s3cr:et@x
            return False
        handler.answer(401, b"")
        return True

    site.fault = guarded
    url = site.url.replace("//", "//an%C3%A4:s3cr%3Aet%40x@")
    assert by_java.pull(url, here).new
    assert by_java.pull("", here, patience=QUICK).reason == "nothing new", "it is remembered"
    site.fault = lambda handler: handler.answer(503, b"") or True
    for wrong in ("", url, f"{url}?x=1", url.replace("http", "ftp")):
        with pytest.raises(Exception, match=r"cannot be fetched|is not an address") as raised:
            by_java.pull(wrong, here, patience=QUICK)
        assert "s3cr" not in str(raised.value)
        assert "an%C3" not in str(raised.value)


def test_damage_is_corrected_by_pulling(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    bundle = by_java.pull(site.url, here, users=["u1"]).folder
    good = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file() and path.name[0] != "."}
    (bundle / "items.txt").write_bytes(b"damaged")
    (bundle / "model.tflite").unlink()
    with pytest.raises(BundleError):
        by_java.java().call("open_bundle", str(here))
    assert by_java.pull(site.url, here).received > 30_000
    assert by_java.java().call("open_bundle", str(here)) == str(bundle)
    assert good == {path.name: path.read_bytes() for path in bundle.iterdir() if path.name in good}


def test_two_processes_that_pull_at_once(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    refused = threading.Event()  # nobody is answered before the other one was sent away
    site.fault = lambda handler: not refused.wait(60)
    outcomes: list[object] = []
    options = {"users": [], "now": time.time()}

    def one(runner: Java) -> None:
        try:
            outcomes.append(runner.call("pull", site.url, str(here), options)["new"])
        except FetchError as error:
            outcomes.append(str(error))
            refused.set()

    runners = [by_java.java(), Java()]
    threads = [threading.Thread(target=one, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runners[1].close()
    assert True in outcomes
    assert any("another pull is at work" in str(outcome) for outcome in outcomes)
    open_bundle(here)


def test_python_and_java_go_on_with_the_folder_of_the_other(
    folder: Path, site: Server, here: Path, keys: list[Path], digits: list[str]
) -> None:
    """Releases in turns, a change of keys in the middle; each writes what the other would have written."""
    both = [get, _get]
    twin = here.with_name("twin")  # which Python alone pulls into
    publish(folder, site.root, sign=keys[0])
    for number in range(6):
        done = [both[number % 2](site, here, users=[f"u{number}"], key=digits[0]),
                get(site, twin, users=[f"u{number}"], key=digits[0])]  # fmt: skip
        assert (done[0].new, done[0].reason, done[0].serial) == (done[1].new, done[1].reason, done[1].serial)
        for name in ("current.json", "current.copy.json", "pin.json"):
            assert (here / name).read_bytes() == (twin / name).read_bytes(), name
        assert both[(number + 1) % 2](site, here).reason == "nothing new"
        get(site, twin)
        terms = Terms(keys=tuple(digits[:2] if number == 1 else digits[1:2] if number == 3 else ()))
        publish(changed(folder, f"release {number}"), site.root, sign=keys[number > 2], terms=terms)
    assert by_java.rollback(here).name == rollback(twin).name
    assert (here / "current.json").read_bytes() == (twin / "current.json").read_bytes()
