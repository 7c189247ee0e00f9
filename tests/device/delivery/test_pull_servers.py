# SPDX-License-Identifier: Apache-2.0
"""pull from servers that cut, alter, stall and lead astray: what was there stays in use, and the next pull goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from publishing import changed, get, tree
from server import Handler, Server, hang_up, random_cuts

from pocketrec.device.base.errors import BundleError, FetchError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.release import LATEST
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.write import write_bundle_files


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


@pytest.mark.parametrize("place", ["http://[", "http://a..b/", "http://\xe4\xe4\xe4.invalid/"])
def test_servers_that_lead_to_no_address_are_one_line(site: Server, here: Path, place: str) -> None:
    def away(handler: Handler) -> bool:
        handler.answer(302, b"", Location=place)
        return True

    site.fault = away
    with pytest.raises(FetchError, match=r"^[^\n]*$"):
        get(site, here)
