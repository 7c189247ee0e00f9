# SPDX-License-Identifier: Apache-2.0
"""Offers that are wrong in ways which only a careless device would notice too late; passwords; own HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from publishing import QUICK, changed, get, offer, tree
from server import Handler, Server, serving

from pocketrec import cli
from pocketrec.cli import main
from pocketrec.device.base.errors import BundleError, FetchError, PocketRecError
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.shards import ROWS, USERS, shard_name, shard_of
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull
from pocketrec.device.delivery.release import name_of
from pocketrec.device.delivery.urls import shown, split_login
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish


def manifest_of(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return table


def refused(site: Server, here: Path, manifest: bytes, match: str) -> None:
    """An update to the manifest is one line, and the version in use is as it was."""
    in_use, before = open_bundle(here).folder, tree(open_bundle(here).folder)
    offer(site.root, manifest, 2)
    with pytest.raises(PocketRecError, match=match) as raised:
        get(site, here)
    assert "\n" not in str(raised.value)
    str(raised.value).encode()
    assert (open_bundle(here).folder, tree(in_use)) == (in_use, before)


# --- manifests --------------------------------------------------------------------------------------------------


def test_names_that_differ_in_case_alone_are_refused(folder: Path, site: Server, here: Path) -> None:
    publish(folder, site.root)
    get(site, here)
    table = manifest_of(folder)
    card = table["files"]["MODEL_CARD.md"]
    for name in ("model_card.md", "Items.txt", "candidates/0000".upper(), "model_card.MD"):
        content = json.dumps({**table, "files": {**table["files"], name: card}}).encode()
        refused(site, here, content, "names of files differ in case alone")
    composed = {**table["files"], "caf\u00e9": card, "cafe\u0301": card}  # one name on APFS
    refused(site, here, json.dumps({**table, "files": composed}).encode(), "differ in case alone")


@pytest.mark.parametrize("cut_off", [10**400, -(10**400), 2**63, True, "1", [1]])
def test_a_cut_off_that_is_no_time_is_refused(folder: Path, site: Server, here: Path, cut_off: object) -> None:
    publish(folder, site.root)
    get(site, here)
    content = json.dumps({**manifest_of(folder), "cut_off": cut_off}).encode()
    refused(site, here, content, r"manifest\.json is wrong")


@pytest.mark.parametrize("where", ["created", "file", "gate", "reserved"])
def test_a_lone_surrogate_is_refused_before_the_switch(folder: Path, site: Server, here: Path, where: str) -> None:
    publish(folder, site.root)
    get(site, here)
    table, lone = manifest_of(folder), "a\ud800b"
    match where:
        case "file":
            table["files"][lone] = table["files"]["MODEL_CARD.md"]
        case "gate":
            table["gate"] = {"note": [lone]}
        case _:
            table[where] = lone
    refused(site, here, json.dumps(table).encode(), r"manifest\.json is wrong")


# --- candidate shards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["cut", "rows", "users", "shape", "floats", "none"])
def test_a_bad_shard_is_refused_before_the_switch(folder: Path, site: Server, here: Path, what: str) -> None:
    publish(folder, site.root)
    get(site, here, users=["u1"])
    good = open_bundle(here)
    other = changed(folder, "other")
    name = shard_name(shard_of("u1", 3))
    shard = tensorfile.load(folder / name)
    rows, users = shard.tensors[ROWS], json.loads(shard.metadata[USERS])
    texts, tensors = dict(shard.metadata), dict(shard.tensors)
    match what:
        case "rows":
            tensors[ROWS] = rows + 60
        case "users":
            texts[USERS] = json.dumps([*users, "one more"])
        case "shape":
            tensors[ROWS] = rows.reshape(-1)
        case "floats":
            tensors[ROWS] = rows.astype(np.float32)
        case "none":
            texts[USERS] = "null"
    content = tensorfile.dump(tensors, texts)
    content = content[:-8] if what == "cut" else content
    (other / name).write_bytes(content)
    table = manifest_of(other)
    table["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (other / "manifest.json").write_text(json.dumps(table))
    publish(other, site.root)
    with pytest.raises(BundleError, match=rf"{name} (cannot be used|cannot be read)"):
        get(site, here)
    assert open_bundle(here).folder == good.folder
    assert open_bundle(here).candidates_of("u1") is not None


# --- connections ------------------------------------------------------------------------------------------------


def test_plain_http_without_a_key_is_told_each_time(
    folder: Path, site: Server, here: Path, keys: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(folder, site.root, sign=keys[0])
    for _ in range(2):
        assert main(["pull", site.url, "--to", str(here)]) == 0
        said = capsys.readouterr()
        assert "is asked over plain http and no key is pinned" in said.err
        assert len(json.loads(said.out.splitlines()[-1])["notes"]) == 1
    assert main(["pull", "--to", str(here), "--key", f"{keys[0]}.pub"]) == 0
    assert capsys.readouterr().err == ""


def test_user_and_password_of_an_address_are_sent_and_never_shown(
    folder: Path, site: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(folder, site.root)
    wanted = "Basic " + base64.b64encode("an\xe4:s3cr:et@x".encode()).decode()

    def guarded(handler: Handler) -> bool:
        if handler.headers.get("Authorization") == wanted:
            return False
        handler.answer(401, b"")
        return True

    site.fault = guarded
    with pytest.raises(FetchError, match="status 401"):
        get(site, here)
    url = site.url.replace("//", "//an%C3%A4:s3cr%3Aet%40x@")
    assert main(["pull", url, "--to", str(here), "--user", "u1"]) == 0
    assert main(["pull", "--to", str(here)]) == 0  # it is remembered
    assert stat.S_IMODE((here / "current.json").stat().st_mode) == 0o600
    publish(changed(folder, "later"), site.root)
    site.fault = lambda handler: handler.answer(503, b"") or True
    for words in (["--attempts", "1"], [url, "--attempts", "1"], [f"{url}?x=1"], [url.replace("http", "ftp")]):
        assert main(["pull", *words, "--to", str(here)]) == 2
    site.fault = lambda handler: handler.answer(302, b"", Location="ftp://an:s3cret@elsewhere/") or True
    assert main(["pull", "--to", str(here), "--attempts", "1"]) == 2
    said = capsys.readouterr()
    assert "error:" in said.err
    assert not re.search("s3cr|an%C3|an:|YW7", said.err + said.out)


def test_a_password_stays_with_its_host(folder: Path, site: Server, here: Path, tmp_path: Path) -> None:
    publish(folder, site.root)
    with serving(site.root) as other:
        to = other.url

        def away(handler: Handler) -> bool:
            handler.answer(302, b"", Location=to + handler.path)
            return True

        def within(handler: Handler) -> bool:
            if handler.path.startswith("/moved"):
                handler.path = handler.path.removeprefix("/moved")
                return False
            handler.answer(302, b"", Location="/moved" + handler.path)
            return True

        url = site.url.replace("//", "//me:secret@")
        site.fault = away
        assert get(url, here).new
        assert site.asked
        assert all("Authorization" in headers for _, headers in site.asked)
        assert other.asked
        assert not any("Authorization" in headers for _, headers in other.asked)
        site.fault = within
        site.asked.clear()
        assert get(url, here.with_name("second")).new
        assert all("Authorization" in headers for _, headers in site.asked)


@pytest.mark.parametrize(
    ("url", "address"),
    [("http://a:b@h/x", "http://h/x"), ("https://u@h:8/", "https://h:8/"), ("http://h/x@y", "http://h/x@y")],
)
def test_logins_are_split_off(url: str, address: str) -> None:
    assert split_login(url)[0] == address
    assert "b@" not in shown(url)
    assert shown("ftp://a:b@c@d/e") == "ftp://d/e"
    assert shown("a:b@c") == "c"


class Own:
    """An application's own HTTP, with names of headers in small letters and errors of its own."""

    class Error(Exception):
        pass

    class Answer:
        def __init__(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.status, self.content, self.headers, self.closed = status, content, headers, False

        def read(self, size: int) -> bytes:
            piece, self.content = self.content[: min(size, 1000)], self.content[min(size, 1000) :]
            return piece

        def close(self) -> None:
            self.closed = True

    def __init__(self, root: Path) -> None:
        self.root, self.answers, self.asked, self.failures = root, [], [], 0  # type: ignore[var-annotated]

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Own.Answer:
        self.asked.append((url, dict(headers), timeout))
        if len(self.asked) % 3 == 0:
            self.failures += 1
            raise self.Error("the tunnel is closed")
        path = self.root / url.removeprefix("https://app.invalid/")
        found = path.is_file()
        content = path.read_bytes() if found else b""
        told = {"content-length": str(len(content)), "etag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if found and headers.get("If-None-Match") == told["etag"]:
            found, content = False, b""
            self.answers.append(self.Answer(304, b"", {}))
        else:
            self.answers.append(self.Answer(200 if found else 404, content, told))
        return self.answers[-1]


def test_an_application_hands_in_its_own_http(
    folder: Path, site: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, site.root)
    own = Own(site.root)

    def never(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(urllib.request, "build_opener", never)
    monkeypatch.setattr("socket.socket.connect", never)
    pulled = pull("https://u:p@app.invalid", here, users=["u1"], patience=QUICK, source=own)
    assert pulled.new
    assert own.failures > 0
    assert all(answer.closed for answer in own.answers)
    assert {timeout for *_, timeout in own.asked} == {QUICK.timeout}
    assert all(headers["Authorization"].startswith("Basic ") for _, headers, _ in own.asked)
    assert open_bundle(here).candidates_of("u1") is not None
    assert pull("", here, patience=QUICK, source=own).reason == "nothing new"
    with pytest.raises(FetchError, match="status 404"):
        pull("https://app.invalid/nowhere", here, patience=QUICK, source=own)
    broken = Own(site.root)
    broken.asked = [()] * 2
    with pytest.raises(FetchError, match="the tunnel is closed"):
        pull("https://app.invalid", here.with_name("x"), source=broken, patience=Patience(attempts=1))


def test_a_file_in_place_of_another_is_refused(folder: Path, site: Server, here: Path) -> None:
    """Files of one release with the manifest of another."""
    publish(folder, site.root)
    get(site, here)
    current = read_current(here)
    later = publish(changed(folder, "later"), site.root).release
    card = manifest_of(folder.with_name("later"))["files"]["MODEL_CARD.md"]["sha256"]
    (site.root / name_of(card)).write_bytes((folder / "MODEL_CARD.md").read_bytes())
    with pytest.raises(FetchError, match=r"cannot be fetched|is not the file"):
        get(site, here)
    assert read_current(here) == current
    (site.root / name_of(later.manifest)).write_bytes((folder / "manifest.json").read_bytes())
    with pytest.raises(FetchError):
        get(site, here.with_name("fresh"))


# --- crash logs -------------------------------------------------------------------------------------------------


def test_a_crash_log_is_its_owners_and_has_a_name_that_cannot_be_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise ValueError("a \ud800 surprise")

    monkeypatch.setattr("pocketrec.device.delivery.pull.pull", broken)
    monkeypatch.setattr(cli.tempfile, "tempdir", str(tmp_path))
    names = set()
    for _ in range(3):
        assert main(["pull", "http://x", "--to", str(tmp_path / "here")]) == 1
        (told,) = re.findall(r"the traceback in (\S+)", capsys.readouterr().err)
        assert stat.S_IMODE(Path(told).stat().st_mode) == 0o600
        assert "Traceback" in Path(told).read_text(encoding="utf-8")
        names.add(Path(told).name)
    assert len(names) == 3
    assert all(re.fullmatch(r"pocketrec-\w{8,}\.log", name) for name in names)
