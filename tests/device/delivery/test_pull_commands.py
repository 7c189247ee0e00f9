# SPDX-License-Identifier: Apache-2.0
"""publish and pull as commands, behind proxies and nginx; what publishing keeps."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from publishing import QUICK, changed
from server import Handler, Server
from traces import traces

from pocketrec.cli import main
from pocketrec.device.base.errors import BundleError, StorageError
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.fetch import Patience
from pocketrec.device.delivery.pull import pull
from pocketrec.device.delivery.release import name_of
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish


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
