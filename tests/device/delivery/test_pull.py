# SPDX-License-Identifier: Apache-2.0
"""publish and pull, through a real server on loopback that misbehaves in every way."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from publishing import QUICK, changed, get, tree
from server import Handler, Server, hang_up, random_cuts
from traces import traces

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, ConfigError, FetchError, PocketRecError, StorageError
from pocketrec.device.contract.shards import shard_name, shard_of
from pocketrec.device.delivery.assemble import Limits
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull, rollback
from pocketrec.device.delivery.release import LATEST, Release, name_of
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.write import write_bundle_files


def offer(site: Server, table: dict[str, object], serial: int = 1) -> None:
    """Publish a manifest as it stands, checked by nobody."""
    content = json.dumps(table).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = site.root / name_of(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    (site.root / LATEST).write_bytes(Release(serial, digest, len(content)).to_bytes())


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


@pytest.mark.parametrize("seed", range(6))
def test_connections_cut_at_random_bytes(folder: Path, site: Server, here: Path, seed: int) -> None:
    publish(folder, site.root)
    site.cut = random_cuts(seed)
    pulled = get(site, here, users=["u1"], patience=Patience(timeout=5, attempts=60, pause=0))
    assert (pulled.folder / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()
    again = [headers for _, headers in site.asked if "Range" in headers]
    assert again
    assert all("If-Range" in headers for headers in again)


def test_a_download_goes_on_where_the_last_pull_was_cut(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    model = open_bundle(folder).manifest.model_id
    size = (folder / "model.tflite").stat().st_size
    site.cut = lambda length: 30_000 if length == size else length
    with pytest.raises(FetchError, match="what was received is kept"):
        get(site, here, patience=Patience(attempts=1, pause=0))
    assert (here / "partial" / model).stat().st_size == 30_000
    with pytest.raises(BundleError):
        open_bundle(here)
    site.cut, site.sent = None, 0
    site.asked.clear()
    get(site, here)
    (asked,) = [headers for path, headers in site.asked if path.endswith(model)]
    assert asked["Range"] == "bytes=30000-"
    assert site.sent < size - 30_000 + 10_000


def test_a_file_that_changed_between_two_attempts_is_begun_again(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    model = open_bundle(folder).manifest.model_id
    (here / "partial").mkdir(parents=True)
    (here / "partial" / model).write_bytes(b"of another file" * 1000)
    (here / "partial" / f"{model}.etag").write_text('"another"')
    get(site, here)
    assert (open_bundle(here).folder / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()
    (asked,) = [headers for path, headers in site.asked if path.endswith(model)]
    assert asked["If-Range"] == '"another"'


@pytest.mark.parametrize("left", [b"wrong" * 100, b"x" * 10**6])
def test_partial_files_without_a_validator_are_not_trusted(
    folder: Path, site: Server, here: Path, left: bytes
) -> None:
    publish(folder, site.root)
    model = open_bundle(folder).manifest.model_id
    (here / "partial").mkdir(parents=True)
    (here / "partial" / model).write_bytes(left)
    get(site, here)
    assert (open_bundle(here).folder / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()


def flipped(handler: Handler) -> bool:
    path = handler.site.root / handler.path.lstrip("/")
    if handler.path.startswith("/files/") and path.stat().st_size > 30_000:
        content = bytearray(path.read_bytes())
        content[1234] ^= 4
        handler.answer(200, bytes(content))
        return True
    return False


def test_a_flipped_byte_never_gets_into_use(folder: Path, site: Server, here: Path) -> None:
    publish(changed(folder, "good"), site.root)
    get(site, here)
    good = tree(open_bundle(here).folder)
    data = bytearray((folder / "model.tflite").read_bytes())
    data[-1] ^= 1
    other = folder.with_name("other")
    bundle = open_bundle(folder)
    write_bundle_files(
        other, BundleContent(
            model_file=bytes(data), items=[str(n) for n in range(60)], recipe={}, card="x",
        model=bundle.manifest.model, tensors=bundle.manifest.tensors,
    ))  # fmt: skip
    publish(other, site.root)
    site.fault = flipped
    with pytest.raises(FetchError, match="is not the file that its manifest names"):
        get(site, here)
    assert tree(open_bundle(here).folder) == good
    once = iter([flipped])
    site.fault = lambda handler: "files/" in handler.path and next(once, lambda _: False)(handler)
    assert get(site, here).new  # a cache that repaired itself


def of_length(length: Callable[[int], int]) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        content = (handler.site.root / handler.path.lstrip("/")).read_bytes()
        if len(content) < 30_000:
            return False
        handler.close_connection = True
        handler.answer(200, content, **{"Content-Length": str(length(len(content)))})
        return True

    return fault


def loop(handler: Handler) -> bool:
    handler.answer(302, b"", Location=handler.path)
    return True


def maze(handler: Handler) -> bool:
    handler.answer(302, b"", Location=f"{handler.path}x")
    return True


def elsewhere(handler: Handler) -> bool:
    handler.answer(302, b"", Location="file:///etc/passwd")
    return True


def compressed(handler: Handler) -> bool:
    handler.answer(200, b"\x1f\x8b" + bytes(1000), Content_Encoding="gzip")
    return True


def endless(handler: Handler) -> bool:
    handler.send_response(200)
    handler.end_headers()
    with_end = time.monotonic() + 5
    while time.monotonic() < with_end:
        handler.wfile.write(bytes(65536))
    handler.close_connection = True
    return True


def nonsense(handler: Handler) -> bool:
    handler.wfile.write(b"SSH-2.0 hello\r\n\r\n")
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (of_length(lambda n: n + 100), "announces"),
        (of_length(lambda n: n - 5000), "cut short|SHA-256|announces"),
        (of_length(lambda n: 10**15), "announces"),
        (loop, "status 302"),
        (maze, "status 302"),
        (elsewhere, "is not followed|status 302"),
        (compressed, "comes compressed"),
        (endless, "larger than"),
        (nonsense, "cannot be fetched"),
        (lambda handler: handler.answer(500, b"") or True, "status 500, 4 times"),
        (lambda handler: handler.answer(403, b"") or True, "status 403"),
        (lambda handler: handler.answer(204, b"") or True, "status 204"),
        (lambda handler: hang_up(handler) or True, "4 times"),
    ],
)
def test_servers_that_misbehave_are_one_line_and_change_nothing(
    folder: Path, site: Server, here: Path, fault: Callable[[Handler], bool], match: str
) -> None:
    publish(folder, site.root)
    site.fault = fault
    with pytest.raises(FetchError, match=match) as raised:
        get(site, here)
    assert "\n" not in str(raised.value)
    with pytest.raises(BundleError):
        open_bundle(here)
    site.fault = None
    assert get(site, here).new


def test_other_parts_than_were_asked_for_are_begun_again(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    site.cut = random_cuts(3)

    def fault(handler: Handler) -> bool:
        asked = handler.headers.get("Range")
        if not asked or random.random() < 0.5:
            return False
        content = (handler.site.root / handler.path.lstrip("/")).read_bytes()
        handler.answer(206, content[:10], **{"Content-Range": f"bytes 0-9/{len(content)}"})
        return True

    site.fault = fault
    pulled = get(site, here, patience=Patience(timeout=5, attempts=200, pause=0))
    assert (pulled.folder / "model.tflite").read_bytes() == (folder / "model.tflite").read_bytes()


@pytest.mark.parametrize("where", ["head", "body"])
def test_slow_servers_are_given_up(folder: Path, site: Server, here: Path, where: str) -> None:
    publish(folder, site.root)

    def drip(handler: Handler) -> bool:
        if handler.path == "/latest.json":
            return False
        if where == "body":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
        for letter in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000:
            handler.wfile.write(bytes([letter]))
            time.sleep(0.05)
        finished.append(handler.path)
        return True

    finished: list[str] = []
    site.fault = drip
    with pytest.raises(FetchError, match="cannot be fetched"):
        get(site, here, patience=Patience(timeout=0.5, slowest=512, attempts=2, pause=0))
    assert finished == [], "given up before the end, which takes minutes to come"


def test_retries_wait_longer_and_longer_and_as_long_as_the_server_asks(
    folder: Path, site: Server, tmp_path: Path
) -> None:
    from pocketrec.device.delivery.fetch import Fetcher

    waits: list[float] = []
    answers = iter([503, 503, 429, 200])
    publish(folder, site.root)

    def busy(handler: Handler) -> bool:
        status = next(answers)
        if status == 200:
            return False
        handler.answer(status, b"", **({"Retry-After": "7"} if status == 429 else {}))
        return True

    site.fault = busy
    content, etag = Fetcher(Patience(attempts=5, pause=1), sleep=waits.append).small(f"{site.url}/{LATEST}", 10_000)
    assert content is not None
    assert etag
    assert len(waits) == 3
    assert 0.5 <= waits[0] <= 1.5
    assert 1 <= waits[1] <= 3
    assert waits[2] == 7


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


@pytest.mark.parametrize("place", ["http://[", "http://a..b/", "http://\xe4\xe4\xe4.invalid/"])
def test_servers_that_lead_to_no_address_are_one_line(site: Server, here: Path, place: str) -> None:
    def away(handler: Handler) -> bool:
        handler.answer(302, b"", Location=place)
        return True

    site.fault = away
    with pytest.raises(FetchError, match=r"^[^\n]*$"):
        get(site, here)


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


def test_publishing_keeps_what_the_latest_releases_need(folder: Path, site: Server, tmp_path: Path) -> None:
    releases = [publish(changed(folder, f"r{n}"), site.root, keep=2).release for n in range(4)]
    assert [release.serial for release in releases] == [1, 2, 3, 4]
    assert sorted(path.name for path in (site.root / "releases").iterdir()) == ["3.json", "4.json"]
    names = {path.name for path in (site.root / "files").iterdir()}
    assert {releases[2].manifest, releases[3].manifest} <= names
    assert releases[0].manifest not in names
    assert len(names) == 6 + 2 * 2
    model = site.root / name_of(open_bundle(folder).manifest.model_id)
    model.write_bytes(b"damaged")
    assert publish(changed(folder, "r9"), site.root).written > 30_000
    assert hashlib.sha256(model.read_bytes()).hexdigest() == model.name
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_bytes(b"")
    with pytest.raises(StorageError, match="holds other files"):
        publish(folder, tmp_path / "mine")
    with pytest.raises(BundleError):
        publish(tmp_path / "nothing", site.root)


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


def test_proxies_are_found_by_the_rules_of_the_standard_library(
    folder: Path, site: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, site.root)
    hosts = []

    def as_proxy(handler: Handler) -> bool:
        hosts.append(handler.path)
        handler.path = handler.path.removeprefix("http://bundles.invalid")
        return False

    site.fault = as_proxy
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("no_proxy", "")
    assert pull("http://bundles.invalid", here, patience=QUICK).new
    assert hosts[0] == "http://bundles.invalid/latest.json"


@pytest.mark.runtime
def test_commands(folder: Path, site: Server, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def done(*words: object, status: int = 0) -> dict[str, object]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        assert code == status, captured.err
        if status:
            return {"error": captured.err}
        result: dict[str, object] = json.loads(captured.out.splitlines()[-1])
        return result

    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(folder, run / "bundle")
    assert done("publish", run, "--to", site.root)["serial"] == 1
    assert done("publish", folder.with_name("bundle"), "--to", site.root)["new"] is False
    assert done("pull", site.url, "--to", here, "--user", "somebody-1")["new"] is True
    assert done("pull", "--to", here)["bytes_received"] == 0
    user = ("--bundle", here, "--user", "somebody-1")
    assert done("record", *user, "--item", *(f"item {n % 4 + 1}" for n in range(20)))["new"] == 20
    assert done("personalise", *user)["history"] == 20
    assert done("recommend", *user)["history"] == 20
    publish(changed(folder, "later"), site.root)
    assert done("pull", "--to", here)["serial"] == 2
    assert done("recommend", *user)["weights"] in ("personal", "blend", "global")  # the same model: the same state
    assert done("pull", "--to", here, "--rollback")["version"] == read_current(here).current  # type: ignore[union-attr]
    assert traces((here / "current.json").read_bytes(), "somebody-1")
    done("wipe", *user)
    assert traces((here / "current.json").read_bytes(), "somebody-1") == []
    assert "name the address" in str(done("pull", "--to", tmp_path / "new", status=2)["error"])
    assert "give a bundle" in str(done("publish", status=2)["error"])
    words = ("pull", site.url, "--to", tmp_path / "new", "--max-model-bytes")
    assert "--max-model-bytes" in str(done(*words, 0, status=2)["error"])
    assert done(*words, 1)["new"] is True  # of a bundle that is not packed nothing is made
    assert "--timeout" in str(done("pull", site.url, "--to", here, "--timeout", 0, status=2)["error"])


def test_nginx(folder: Path, here: Path, tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    www = tmp_path / "www"
    publish(folder, www)
    config = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        "events {} http { access_log off; "
        + "".join(f"{kind}_temp_path {tmp_path}/temp; " for kind in kinds)
        + f"\nserver {{ listen 127.0.0.1:{port}; root {www};\n"
        "location /files/ { add_header Cache-Control 'public, max-age=31536000, immutable'; limit_rate 400k; }\n"
        "location = /latest.json { add_header Cache-Control 'no-cache'; } } }\n"
    )
    with subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(config)], stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            patience = Patience(timeout=5, attempts=8, pause=0.1)
            model = open_bundle(folder).manifest.model_id
            part = here / "partial" / model
            part.parent.mkdir(parents=True)
            part.write_bytes((folder / "model.tflite").read_bytes()[:30_000])
            first = pull(url, here, users=["u1"], patience=patience)
            assert first.new
            assert first.received < (folder / "model.tflite").stat().st_size  # nginx continued with the part
            again = pull(url, here, patience=patience)
            assert (again.new, again.received) == (False, 0)
            for name in ("later", "still later"):  # in one second: nginx's ETag is time and length
                publish(changed(folder, name), www)
                assert pull(url, here, patience=patience).new
        finally:
            server.terminate()
