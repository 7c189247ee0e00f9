# SPDX-License-Identifier: Apache-2.0
"""`pocketrec bench --ssh` against a server of our own on loopback, with keys that are thrown away."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketrec.cli import main
from pocketrec.device.bench.schema import problem
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.machines import ssh as remote

SERVER = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ready := os.environ.get("POCKETREC_TEST_BUNDLE"):
        return Path(ready)
    folder = tmp_path_factory.mktemp("made") / "bundle"
    make = Path(__file__).parents[1] / "make_bundle.py"
    subprocess.run([sys.executable, str(make), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The ssh command that reaches the server, and the folder in which it makes its folders."""
    if SERVER is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd here (Debian: apt-get install openssh-server)")
    home = tmp_path_factory.mktemp("ssh")
    there = home / "tmp"
    there.mkdir()
    port = free_port()
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
        subprocess.run(words, check=True, capture_output=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # the server, started by root, asks for it
    (home / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nSetEnv TMPDIR={there}\n"
        "PermitRootLogin prohibit-password\n"
    )
    command = (f"ssh -F none -p {port} -i {home}/user -o IdentitiesOnly=yes -o StrictHostKeyChecking=no "
               f"-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR")  # fmt: skip
    server = subprocess.Popen([SERVER, "-D", "-e", "-f", str(home / "sshd_config")], stderr=subprocess.PIPE)
    try:
        words = [*command.split(), "-o", "BatchMode=yes", f"{getpass.getuser()}@127.0.0.1", "true"]
        for _ in range(50):
            tried = subprocess.run(words, capture_output=True, text=True, check=False)
            if tried.returncode == 0:
                break
            if server.poll() is not None:
                pytest.skip(f"sshd does not start here: {server.stderr.read().decode()[-200:]}")  # type: ignore[union-attr]
            time.sleep(0.1)
        else:
            pytest.skip(f"no way into the server here: {tried.stderr}")
        yield command, there
    finally:
        server.terminate()
        server.wait()


def words(command: str, bundle: Path, *more: str, python: str = sys.executable) -> list[str]:
    return ["bench", "--ssh", f"{getpass.getuser()}@127.0.0.1", "--ssh-command", command, "--remote-python", python,
            "--calls", "3", "--bundle", str(bundle), *more]  # fmt: skip


def test_the_result_comes_home_and_nothing_stays(
    site: tuple[str, Path], bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, there = site
    assert main(words(command, bundle)) == 0
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert not problem(result)
    assert result["calls"] == 3
    assert result["model_id"] == open_bundle(bundle).manifest.model_id
    assert list(there.iterdir()) == []


def one_line(capfd: pytest.CaptureFixture[str], expected: str) -> None:
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    assert expected in said.err


def test_what_is_wrong_there_is_one_line(
    site: tuple[str, Path], bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, there = site
    assert main(words(command, bundle, python="/no/python")) == 2
    one_line(capfd, "no /no/python there")
    plain = tmp_path / "python"  # a Python without numpy
    plain.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    plain.chmod(0o755)
    assert main(words(command, bundle, python=str(plain))) == 2
    one_line(capfd, "no numpy")
    assert main(words(command, bundle, "--threads", "100000")) == 2
    one_line(capfd, "number of threads must lie between")  # the bench's own words
    assert main(words(command, bundle, "--ssh-timeout", "0.01")) == 2
    one_line(capfd, "too long")
    there.chmod(0o500)
    if os.getuid():
        assert main(words(command, bundle)) == 2
        one_line(capfd, "no folder can be made")
    there.chmod(0o700)
    assert list(there.iterdir()) == []


def test_a_full_disk_there_is_one_line(
    site: tuple[str, Path], bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    command, there = site
    full = "ulimit -f 8\n"  # blocks of a file: what a full disk is to tar
    monkeypatch.setattr(remote, "_SCRIPT", full + remote._SCRIPT)
    assert main(words(command, bundle)) == 2
    one_line(capfd, "cannot be unpacked there: free some space")
    assert list(there.iterdir()) == []


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")
def test_no_connection_is_one_line(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words(f"ssh -F none -p {free_port()}", bundle)) == 2
    one_line(capfd, "Connection refused")
    assert main(words("/no/ssh", bundle)) == 2
    one_line(capfd, "no program /no/ssh here")


def test_a_server_that_does_not_answer_is_given_up(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "ssh"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setattr(remote, "_GRACE", 0.5)
    assert main(words(str(silent), bundle, "--ssh-timeout", "0.5")) == 2
    one_line(capfd, "no result after 1 s")


def test_a_host_that_is_an_option_is_refused(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--ssh=-oProxyCommand=true", "--bundle", str(bundle)]) == 2
    one_line(capfd, "is not a machine")
