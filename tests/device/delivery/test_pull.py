# SPDX-License-Identifier: Apache-2.0
"""publish and pull, through a real server on loopback: what arrives, what is asked for, two at once, a full disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from publishing import changed, get, tree
from server import Server

from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, ConfigError, FetchError, StorageError
from pocketrec.device.contract.shards import shard_name, shard_of
from pocketrec.device.delivery.assemble import Limits
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull, rollback
from pocketrec.device.delivery.release import LATEST
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.write import write_bundle_files


def test_what_is_published_arrives_and_only_the_users_own_shard(folder: Path, site: Server, here: Path) -> None:
    done = publish(folder, site.root)
    assert (done.release.serial, done.new, done.files) == (1, True, 8)
    pulled = get(site, here, users=["u3"])
    assert pulled.new
    bundle = open_bundle(here)
    assert bundle.folder == pulled.folder
    for name in ("model.tflite", "items.txt", "recipe.json", "MODEL_CARD.md", "manifest.json"):
        assert (pulled.folder / name).read_bytes() == (folder / name).read_bytes()
    mine = shard_name(shard_of("u3", 3))
    assert [path.name for path in (pulled.folder / "candidates").iterdir()] == [Path(mine).name]
    np.testing.assert_array_equal(bundle.candidates_of("u3"), open_bundle(folder).candidates_of("u3"))
    other = next(f"u{n}" for n in range(20) if shard_of(f"u{n}", 3) != shard_of("u3", 3))
    with pytest.raises(BundleError, match="pull again with --user"):
        bundle.candidates_of(other)
    assert Recommender(here, user="u3").recommend(3) == Recommender(folder, user="u3").recommend(3)
    received = get(site, here, users=[other])
    assert (received.new, received.reason) == (False, "what was missing is here")
    assert open_bundle(here).candidates_of(other) is not None
    assert open_bundle(here).candidates_of("u3") is not None


def test_a_packed_bundle_is_installed_before_it_is_used(made: Path, site: Server, here: Path) -> None:
    packed = made.with_name(made.name + ".packed")
    publish(packed, site.root)
    pulled = get(site, here, users=["u3"])
    model = (pulled.folder / "model.tflite").read_bytes()
    assert hashlib.sha256(model).hexdigest() == open_bundle(packed).manifest.model_id
    assert pulled.received < len(model)
    (pulled.folder / "model.tflite").write_bytes(b"damaged")
    assert Recommender(here, user="u3").recommend(3)
    with pytest.raises(FetchError, match="raise --max-bytes"):  # what it becomes counts too
        get(site, here.with_name("small"), limits=Limits(total=pulled.received + 1000))
    site.asked.clear()
    with pytest.raises(FetchError, match=rf"a packed model of {len(model)} bytes, over .* raise --max-model-bytes$"):
        get(site, here.with_name("small"), limits=Limits(model=len(model) - 1))
    assert [path for path, _ in site.asked] == ["/latest.json"]  # the manifest is here
    assert get(site, here.with_name("small"), limits=Limits(model=len(model))).new


def test_a_lean_bundle_becomes_the_users_own(made: Path, site: Server, here: Path) -> None:
    lean = made.with_name(made.name + ".lean")
    publish(lean, site.root)
    assert get(site, here, users=["u3"]).new
    assert Recommender(here, user="u3").recommend(5) == Recommender(lean, user="u3").recommend(5)
    other = next(f"u{n}" for n in range(20) if shard_of(f"u{n}", 3) != shard_of("u3", 3))
    with pytest.raises(BundleError, match="pull again with --user"):
        Recommender(here, user=other)


def test_a_bundle_without_candidates_names_no_shard(made: Path, site: Server, here: Path) -> None:
    """Whoever is asked for, the same files are fetched, and none of candidates."""
    publish(made.with_name(made.name + ".retrieve"), site.root)
    asked = []
    for users in ([], ["u3"]):
        site.asked.clear()
        place = here / str(len(users))
        assert get(site, place, users=users).new
        assert len(Recommender(place, user="u3").recommend(30)) == 30
        asked.append(site.paths())
    assert asked[0] == asked[1]
    manifest = open_bundle(here / "1").manifest
    assert manifest.candidates == {"shards": 0, "per_user": 0}
    assert not [name for name in manifest.files if name.startswith("candidates")]


def test_users_of_a_shard_ask_for_the_same_whatever_they_did(made: Path, site: Server, here: Path) -> None:
    """A lean bundle: no request names an item, and none is made for items that have no row here."""
    publish(made.with_name(made.name + ".lean"), site.root)
    one, two = [f"u{n}" for n in range(20) if shard_of(f"u{n}", 3) == 0][:2]
    get(site, here, users=[one])
    asked, served = list(site.asked), {path.name for path in site.root.rglob("*") if path.is_file()}
    assert {Path(path).name for path in site.paths()} < served
    assert len(asked) == len(served) - 4, "each file once, but for two shards, record and changelog"
    recommender = Recommender(here, user=one)
    recommender.personalise([(f"item {row}", 1001.0 + row) for row in range(1, 61)])
    recommender.recommend(30)
    get(site, here)
    assert site.paths()[len(asked) :] == ["/latest.json"]
    site.asked.clear()
    get(site, here.with_name("another"), users=[two])
    assert site.asked == asked


@pytest.mark.feature("D19")
def test_nothing_of_the_user_is_sent(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    get(site, here, users=["u3", "somebody by name"])
    get(site, here)
    assert site.uploaded == 0
    assert {name for _, headers in site.asked for name in headers} <= {
        "Accept-Encoding", "Cache-Control", "Connection", "Host", "If-None-Match", "User-Agent",
    }  # fmt: skip
    assert {headers["User-Agent"] for _, headers in site.asked} == {"pocketrec"}
    assert "somebody" not in repr(site.asked)
    assert "u3" not in repr(site.asked)


def test_nothing_new_is_one_small_answer(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    get(site, here, users=["u1"])
    site.asked.clear()
    again = get(site, here)
    assert (again.new, again.received, again.reason) == (False, 0, "nothing new")
    assert site.paths() == ["/latest.json"]
    assert not publish(folder, site.root).new


def test_a_new_release_fetches_what_changed_alone_and_can_be_rolled_back(
    folder: Path, site: Server, here: Path
) -> None:
    publish(folder, site.root)
    first = get(site, here, users=["u1"])
    later = changed(folder, "later")
    assert publish(later, site.root).release.serial == 2
    site.asked.clear()
    second = get(site, here)
    assert (second.new, second.serial) == (True, 2)
    assert len(site.asked) == 3  # latest.json, manifest, card
    assert open_bundle(here).folder == second.folder
    assert open_bundle(here).candidates_of("u1") is not None
    assert rollback(here) == first.folder
    assert open_bundle(here).folder == first.folder
    refused = get(site, here)
    assert (refused.new, refused.reason) == (False, "the latest release was rolled back from")
    assert open_bundle(here).folder == first.folder
    third = publish(changed(folder, "third"), site.root)
    assert get(site, here).new
    assert {path.name for path in (here / "versions").iterdir()} == {first.folder.name, third.release.manifest[:16]}
    assert not (here / "partial").exists()
    rollback(here)
    assert rollback(here).name == third.release.manifest[:16]  # and forward again


def test_errors_before_anything_is_fetched(folder: Path, site: Server, here: Path, tmp_path: Path) -> None:
    for url in ("ftp://x/y", "file:///etc", "nonsense", "http://", "http://x/?a=b", "http://[::1", "http://a..b/",
                f"http://{'a' * 64}.org/", "http://x:99999/"):  # fmt: skip
        with pytest.raises(ConfigError, match="is not an address"):
            pull(url, here)
    with pytest.raises(ConfigError, match="name the address"):
        pull("", here)
    with pytest.raises(ConfigError, match="is a bundle itself"):
        pull(site.url, folder)
    with pytest.raises(FetchError, match="status 404"):
        get(site, here)
    with pytest.raises(BundleError, match="no bundle was pulled"):
        rollback(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        pull(site.url, folder / "model.tflite" / "x")
    (site.root / LATEST).write_bytes(b"<html>welcome")
    with pytest.raises(FetchError, match=r"is no latest\.json"):
        get(site, here)
    (site.root / LATEST).write_bytes(b"x" * 100_000)
    with pytest.raises(FetchError, match="is larger than"):
        get(site, here)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="cannot be fetched"):
            pull(f"http://127.0.0.1:{closed.getsockname()[1]}", here, patience=Patience(pause=0, attempts=2))


def test_any_patience_will_do(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    assert pull(site.url, here, patience=Patience(timeout=math.inf)).new


def test_damage_on_the_device_is_mended_by_pulling(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    bundle = get(site, here, users=["u1"]).folder
    good = tree(bundle)
    (bundle / "items.txt").write_bytes(b"damaged")
    (bundle / "model.tflite").unlink()
    with pytest.raises(BundleError):
        open_bundle(here)
    assert get(site, here).received > 30_000
    open_bundle(here)
    assert {name: data for name, data in tree(bundle).items() if name != ".verified"} == {
        name: data for name, data in good.items() if name != ".verified"
    }
    known = json.loads((here / "current.json").read_bytes())
    for damaged in ("{", json.dumps({**known, "users": 5}), json.dumps({**known, "users": [5]})):
        for name in ("current.json", "current.copy.json"):
            (here / name).write_text(damaged)
        with pytest.raises(BundleError, match="is damaged"):
            open_bundle(here)
        with pytest.raises(BundleError, match="is damaged"):
            pull("", here)
        assert get(site, here).new


def test_two_pulls_at_once(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    refused = threading.Event()  # nobody is answered before the other one was sent away
    site.fault = lambda handler: not refused.wait(60)
    outcomes: list[object] = []

    def one() -> None:
        try:
            outcomes.append(get(site, here).new)
        except FetchError as error:
            outcomes.append(str(error))
            refused.set()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert True in outcomes
    assert any("another pull is at work" in str(outcome) for outcome in outcomes)
    open_bundle(here)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_full_disk_keeps_the_version_in_use(folder: Path, site: Server, tmp_path: Path) -> None:
    code = """
import json, os, subprocess, sys
disk, url = sys.argv[1:3]
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", disk], capture_output=True).returncode:
    sys.exit(77)
from pocketrec.cli import main
os.chdir(disk)
first = main(["pull", url, "--to", "here"])
open("filler", "wb").write(bytes(700_000 if sys.argv[3] == "early" else 0))
if sys.argv[3] == "late":  # the check of free space says yes, and then there is none
    import shutil
    shutil.disk_usage = lambda path: type("Usage", (), {"free": 1 << 40})
    open("filler", "wb").write(bytes(1_300_000))
before = open("here/current.json").read()
second = main(["pull", url + "/later", "--to", "here"])
from pocketrec.device.delivery.bundle import open_bundle
open_bundle("here")
print(json.dumps([first, second, before == open("here/current.json").read()]))
"""
    publish(folder, site.root)
    data = (folder / "model.tflite").read_bytes() + bytes(150_000)
    bundle = open_bundle(folder)
    write_bundle_files(
        tmp_path / "other", BundleContent(
            model_file=data, items=[str(n) for n in range(60)], recipe={}, card="x",
        model=bundle.manifest.model, tensors=bundle.manifest.tensors,
    ))  # fmt: skip
    publish(tmp_path / "other", site.root / "later")
    (tmp_path / "disk").mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    for when in ("early", "late"):
        words = [*unshare, sys.executable, "-c", code, str(tmp_path / "disk"), site.url, when]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no unshare here")
        if done.returncode == 77 or (done.returncode and done.stderr.startswith("unshare:")):
            pytest.skip("no file system may be mounted here")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [0, 2, True]
        assert "cannot write" in done.stderr
