# SPDX-License-Identifier: Apache-2.0
"""`pocketrec android` against an adb whose devices are folders; `make test-android` lets the Java harness answer."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main
from pocketrec.cloud.report.comparison import named, table
from pocketrec.device.bench.bench import bench
from pocketrec.device.bench.schema import FIELDS, KIND_FIELDS, KINDS, MACHINE, problem
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.machines import android

PHONE: dict[str, Any] = {
    "serial": "phone",
    "state": "device",
    "properties": {"ro.product.manufacturer": "Acme", "ro.product.model": "One", "ro.build.version.release": "14",
                   "ro.build.version.sdk": "34", "ro.product.cpu.abilist": "arm64-v8a"},
    "free_kb": 10_000_000,
    "app": "run",
}  # fmt: skip
# What starts the desktop harness, for the test marked java: make test-android builds and names it.
JAVA = os.environ.get("POCKETREC_JAVA", "")
BUNDLE = Path(os.environ.get("POCKETREC_TEST_BUNDLE", "bundle"))

Devices = Callable[..., Path]


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Devices:
    """Puts an adb on PATH that knows the devices given, with the app installed."""

    def connect(*devices: dict[str, Any], installed: bool = True) -> Path:
        program = tmp_path / "bin" / "adb"
        program.parent.mkdir(exist_ok=True)
        script = Path(__file__).parents[1] / "adb_stand_in.py"
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -IS '{script}' \"$@\"\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        root = tmp_path / "devices"
        root.mkdir(exist_ok=True)
        (root / "devices.json").write_text(json.dumps(devices))
        for device in devices if installed else ():
            (root / device["serial"]).mkdir()
            (root / device["serial"] / "installed.apk").write_bytes(b"apk")
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("ADB_STAND_IN", str(root))
        monkeypatch.setenv("ADB_STAND_IN_JAVA", JAVA)
        monkeypatch.setenv("ADB_STAND_IN_LITERT", sys.prefix)
        return root

    return connect


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    if not (BUNDLE / "manifest.json").is_file():
        pytest.skip("no test bundle: make one with tests/make_bundle.py")
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    return str(tmp_path / "bundle")


def _error(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The last line on standard error of a command that the user can correct."""
    assert main(["android", *words]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def _left(root: Path) -> list[str]:
    """Files on the devices that a run must not leave behind."""
    return [path.name for path in root.rglob("*") if path.is_file() and path.name.startswith(("pocketrec-", "bench-"))]


def test_no_adb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    assert _error(capsys, "devices") == (
        "error: there is no adb: install Android's platform-tools (on Debian: apt-get install adb)"
    )
    home = tmp_path / "sdk" / "platform-tools"
    home.mkdir(parents=True)
    shutil.copy("/bin/true", home / "adb")
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert main(["android", "devices"]) == 0


@pytest.mark.skipif(shutil.which("adb") is None, reason="no adb here")
def test_the_real_adb_finds_no_device(capsys: pytest.CaptureFixture[str], bundle: str) -> None:
    if len(subprocess.run(["adb", "devices"], capture_output=True, text=True).stdout.split("attached")[-1].split()):
        pytest.skip("a device is connected")
    assert main(["android", "devices"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"devices": []}
    said = _error(capsys, "run", bundle)
    assert said == "error: no device is connected: connect one with USB debugging switched on, or start an emulator"
    assert "no device nobody is connected: connect one" in _error(capsys, "run", bundle, "--serial", "nobody")


def test_devices(connected: Devices, capsys: pytest.CaptureFixture[str]) -> None:
    connected(PHONE, {**PHONE, "serial": "emulator-5554", "state": "offline"})
    assert main(["android", "devices"]) == 0
    out = capsys.readouterr().out
    assert "phone" in out
    assert "Acme" in out
    found = json.loads(out.splitlines()[-1])["devices"]
    assert [one["state"] for one in found] == ["device", "offline"]
    assert found[0] | {"serial": "phone", "api": "34", "abis": "arm64-v8a"} == found[0]


@pytest.mark.parametrize(
    ("devices", "words", "told"),
    [
        ([], [], "no device is connected: connect one with USB debugging"),
        ([{}, {"serial": "two"}], [], "several devices are connected (phone, two): name one with --serial"),
        ([{}], ["--serial", "two"], "no device two is connected: name one of phone"),
        ([{"state": "unauthorized"}], [], "it has not allowed this computer: unlock its screen"),
        ([{"state": "offline"}], [], "it does not answer: connect it again"),
        ([{"state": "no permissions (user in plugdev group; see ...)"}], [], "this user may not use it"),
        ([{"state": "recovery"}], [], "it is in the state recovery"),
        ([{"free_kb": 100}], [], "has not enough space (100 KB are free and"),
        ([{"full": True}], [], "has not enough space for bundle.zip"),
        ([{"app": "start_fails"}], [], "the app does not start (Error type 3): make and install the APK again"),
        ([{"app": "crash"}], [], "crashed (java.lang.OutOfMemoryError: Failed to allocate 512 bytes): see adb logcat"),
        ([{"app": "killed"}], [], "was ended by the system, perhaps for want of memory"),
        ([{"app": "hang"}], ["--timeout", "0.2"], "no result within 0.2 s: give fewer --runs or a larger --timeout"),
        ([{}], ["--runs", "0"], "--runs and --threads must be at least 1"),
    ],
)
def test_what_can_go_wrong_is_one_line(
    connected: Devices,
    bundle: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    devices: list[dict[str, Any]],
    words: list[str],
    told: str,
) -> None:
    monkeypatch.setattr(android, "_POLL", 0.05)
    root = connected(*({**PHONE, **device} for device in devices))
    assert main(["android", "run", bundle, *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err.splitlines()[-1]
    assert said.err.splitlines()[-1].startswith("error: ")
    assert ("at pocketrec.core.Model.train" in said.err) == (devices != [] and devices[0].get("app") == "crash")
    assert _left(root) == []


def test_an_unusable_device_beside_a_good_one_is_passed_over(connected: Devices) -> None:
    connected(PHONE, {**PHONE, "serial": "two", "state": "unauthorized"})
    assert android.choose_device(android.find_adb(), None).serial == "phone"


def test_install(connected: Devices, capsys: pytest.CaptureFixture[str], tmp_path: Path, bundle: str) -> None:
    root = connected(PHONE, installed=False)
    assert "the app is not on phone: install it with `pocketrec android install`" in _error(capsys, "run", bundle)
    assert "no APK" in _error(capsys, "install", str(tmp_path / "none.apk"))
    apk = tmp_path / "pocketrec.apk"
    apk.write_bytes(b"an app")
    assert main(["android", "install", str(apk)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["serial"] == "phone"
    assert (root / "phone" / "installed.apk").read_bytes() == b"an app"
    connected({**PHONE, "serial": "full", "refuses": "INSTALL_FAILED_INSUFFICIENT_STORAGE"}, installed=False)
    said = _error(capsys, "install", str(apk))
    assert "full did not install pocketrec.apk (INSTALL_FAILED_INSUFFICIENT_STORAGE): free some space on it" in said


def test_report_joins_machines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    phone, board = _result(2.0), _result(4.0) | {"emulated": True}
    phone["android"] = {"manufacturer": "Acme", "device": "<One>", "emulator": False, "xnnpack": False}
    for name, result in (("phone", phone), ("pi-4", board)):
        (tmp_path / f"{name}.json").write_text(f"a table for people\n{json.dumps(result)}\n")
    files, page = [str(tmp_path / f"{name}.json") for name in ("phone", "pi-4")], tmp_path / "made" / "comparison.html"
    assert main(["android", "report", *files, "--page", str(page)]) == 0
    out = capsys.readouterr().out
    assert "pi-4 (emulated)" in out
    assert "4.000 (2.00)" in out
    head, rows = table([("phone", phone), ("pi-4", board)])
    assert [row[head.index("XNNPACK")] for row in rows] == ["off", "-"]
    compared = json.loads(out.splitlines()[-1])
    assert [one["xnnpack"] for one in compared["results"]] == ["off", "-"]
    assert [one["train_ms_p50"] for one in compared["results"]] == [2.0, 4.0]
    written = page.read_text(encoding="utf-8")
    assert written.count("<svg") == 2 * len(KINDS) + 1
    assert "&lt;One&gt;" in written
    assert "<One>" not in written
    assert "http" not in written.replace("http-equiv", "")

    (tmp_path / "pi-4.json").write_text(json.dumps(board | {"model_id": "f" * 64}))
    assert "the results are of different models" in _error(capsys, "report", *files, "--page", str(page))
    (tmp_path / "pi-4.json").write_text(json.dumps({key: board[key] for key in board if key != "threads"}))
    assert "(threads is missing): measure again" in _error(capsys, "report", *files)
    (tmp_path / "pi-4.json").write_text("nothing")
    assert "its last line is not JSON" in _error(capsys, "report", *files)
    assert "No such file" in _error(capsys, "report", str(tmp_path / "none.json"))


def test_each_setting_has_a_file_of_its_own() -> None:
    phone = {"manufacturer": "Acme", "device": "One", "xnnpack": True}
    result = _result(2.0) | {"calls": 100, "android": phone}
    assert named(result) == "acme-one"
    assert named(result | {"threads": 4}) == "acme-one-threads-4"
    assert named(result | {"android": phone | {"xnnpack": False}, "calls": 300}) == "acme-one-xnnpack-off-runs-300"
    assert named(_result(2.0) | {"calls": 100}) == "aarch64"


@pytest.mark.java
@pytest.mark.feature("D23")
def test_run_ends_with_a_table_and_a_result_of_the_common_form(
    connected: Devices,
    bundle: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(android, "_POLL", 0.05)
    root = connected(PHONE)
    here = tmp_path / "here.json"
    here.write_text(json.dumps(bench(open_bundle(bundle), "ai_edge_litert", calls=5, whole=False)))
    kept, page = tmp_path / "phone.json", tmp_path / "page.html"
    words = ["run", bundle, "--runs", "7", "--out", str(kept), "--compare", str(here), "--page", str(page)]
    assert main(["android", *words]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert problem(result) == ""
    assert json.loads(kept.read_text()) == result
    assert result["calls"] == 7
    assert result["python"] == ""
    assert result["model_id"] == json.loads(here.read_text().splitlines()[-1])["model_id"]
    head, rows = table([("phone", result), ("here", json.loads(here.read_text().splitlines()[-1]))])
    for cell in (*head, *rows[0], *rows[1]):
        assert cell in out
    assert page.read_text().startswith("<!doctype html>")
    assert _left(root) == []

    assert "LiteRT on a JVM always runs with XNNPACK: leave --xnnpack out" in _error(
        capsys, "run", bundle, "--xnnpack", "off"
    )
    assert _left(root) == []


def _first(takes: Any) -> Any:
    """The first of the types that a field takes."""
    return (*typing.get_args(takes), takes)[0]


def _result(train: float) -> dict[str, Any]:
    """A made-up result in the common form."""
    blank = {int: 0, str: "", dict: {}, bool: False, float: 0.0}
    result: dict[str, Any] = {name: blank[_first(takes)] for name, takes in FIELDS.items()}
    result |= {f"{kind}_{name}": None for kind in KINDS for name in KIND_FIELDS}
    result |= {"format": 2, "energy": "not measured", "threads": 1, "calls": 3, "model_id": "a" * 64}
    result["machine"] = {name: blank[_first(takes)] for name, takes in MACHINE.items()} | {"architecture": "aarch64"}
    result["raw_ms"] = {kind: [train / 2, train, 2 * train] for kind in KINDS}
    for kind in KINDS:
        times = {"first_ms": 9.0, "ms_p50": train, "ms_p90": train, "ms_p99": 2 * train}
        result |= {f"{kind}_{name}": value for name, value in times.items()}
    assert problem(result) == ""
    return result
