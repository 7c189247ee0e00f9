# SPDX-License-Identifier: Apache-2.0
"""`pocketrec android`: measure a bundle on an Android phone or emulator, through adb and the app of android_harness.

The app does the measuring (`BenchmarkActivity`); here are its request, the wait, and the result of it. A request is
answered by one of two files on the device, bench-ID.json or bench-ID.error.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import AndroidError, StorageError
from pocketrec.device.bench.schema import problem
from pocketrec.machines.adb import Adb, choose_device, find_adb, list_devices

if TYPE_CHECKING:
    from pocketrec.device.delivery.bundle import Bundle

PACKAGE: Final = "pocketrec.app"
ANSWERS: Final = f"/sdcard/Android/data/{PACKAGE}/files"  # where the app writes, and adb's shell may read
_PUSHED: Final = "/data/local/tmp"  # where adb's shell may write, and apps may read
_EXCERPT: Final = 15  # lines of the device's log that are shown when the app ended
_POLL: Final = 0.5  # seconds


@dataclass(frozen=True)
class Request:
    """What to measure on a device."""

    bundle: Path
    """Folder or .zip of a bundle."""
    runs: int = 100
    """Calls of each kind, at least 1."""
    threads: int = 1
    """Threads of the runtime's kernels, at least 1."""
    xnnpack: bool = True
    """Whether XNNPACK runs what it can."""
    timeout: float = 600.0
    """Seconds that the app may take, above 0."""

    def __post_init__(self) -> None:
        if self.runs < 1 or self.threads < 1 or not self.timeout > 0:
            raise AndroidError("--runs and --threads must be at least 1, and --timeout above 0: give larger numbers")


def devices() -> list[dict[str, str]]:
    """Each device and emulator that adb knows: serial, state and, where it can be used, what it says of itself.

    Raises:
        AndroidError: there is no adb.
    """
    adb = find_adb()
    return [
        {"serial": one.serial, "state": one.state}
        | (Adb(adb, one.serial).properties() if one.state == "device" else {})
        for one in list_devices(adb)
    ]


def install(apk: Path, serial: str | None = None) -> str:
    """Install the app; gives the device's serial.

    Raises:
        AndroidError: no such APK, no usable device, or the device refused it.
    """
    if not apk.is_file():
        raise AndroidError(f"no APK {apk}: make one with `make apk`, or name one")
    device = choose_device(find_adb(), serial)
    device.install(apk)
    return device.serial


def run(request: Request, serial: str | None = None, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure a bundle on a device; the result has the form of `bench_schema`, with a table ``android``.

    Raises:
        BundleError: no good bundle.
        AndroidError: the device or the app failed; nothing of the request is left on the device.
    """
    from pocketrec.device.delivery.bundle import open_bundle

    bundle = open_bundle(request.bundle)
    device = choose_device(find_adb(), serial)
    if "package:" not in device.shell("pm", "path", PACKAGE, check=False):
        raise AndroidError(f"the app is not on {device.serial}: install it with `pocketrec android install`")
    name = uuid.uuid4().hex[:12]
    pushed, answer = f"{_PUSHED}/pocketrec-{name}.zip", f"{ANSWERS}/bench-{name}"
    with tempfile.TemporaryDirectory() as folder:
        archive = _packed(bundle, Path(folder, "bundle.zip"))
        _need_space(device, bundle, archive)
        try:
            say(f"{device.serial}: pushing {archive.stat().st_size:,} bytes")
            device.push(archive, pushed)
            device.shell("chmod", "644", pushed)
            result = _measured(device, request, name, pushed, answer, say)
        finally:
            _clean(device, pushed, f"{answer}.json", f"{answer}.error")
    if wrong := problem(result):
        raise AndroidError(f"the app's result is not of this version's form ({wrong}): make and install the APK again")
    if result["model_id"] != bundle.manifest.model_id:
        raise AndroidError("the app measured another model: make and install the APK again")
    return result


def _measured(
    device: Adb, request: Request, name: str, pushed: str, answer: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Start the app, wait for its answer, and read it."""
    began = device.clock()
    said = device.shell(
        "am", "start", "-W", "-n", f"{PACKAGE}/.BenchmarkActivity", "--es", "id", name, "--es", "bundle", pushed,
        "--ei", "runs", str(request.runs), "--ei", "threads", str(request.threads),
        "--es", "xnnpack", "on" if request.xnnpack else "off", timeout=60, check=False,
    )  # fmt: skip
    if "Error" in said or "Exception" in said:
        reason = next(line for line in said.splitlines() if "Error" in line or "Exception" in line)
        raise AndroidError(f"the app does not start ({' '.join(reason.split())}): make and install the APK again")
    say(f"{device.serial}: measuring, {request.runs} calls of each kind")
    until = time.monotonic() + request.timeout
    gone = 0
    while True:
        state = device.script(f"ls {ANSWERS} 2>/dev/null; echo .; pidof {PACKAGE}", check=False).split()
        if f"bench-{name}.json" in state:
            return _read(device, f"{answer}.json")
        if f"bench-{name}.error" in state:
            raise AndroidError(device.shell("cat", f"{answer}.error").strip())
        gone = 0 if state[-1].isdigit() else gone + 1
        if gone > 1:  # looked at twice, so that an answer is not missed
            raise _ended(device, began)
        if time.monotonic() > until:
            device.shell("am", "force-stop", PACKAGE, check=False)
            seconds = f"{request.timeout:g} s"
            raise AndroidError(f"the app had no result within {seconds}: give fewer --runs or a larger --timeout")
        time.sleep(_POLL)


def _read(device: Adb, remote: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "bench.json")
        device.pull(remote, local)
        try:
            return documents.parse_table(local.read_bytes())
        except ValueError:
            raise AndroidError("the app's result is cut short: see whether the device has space left") from None


def _ended(device: Adb, began: str) -> AndroidError:
    """The app is gone without an answer: show what the device's log says of it."""
    tags = ("AndroidRuntime", "PocketRec", "libc", "DEBUG", "ActivityManager", "lowmemorykiller", "lmkd", "tflite")
    lines = [line for line in device.log_since(began) if any(f" {tag}" in line for tag in tags)]
    told = [line for line in lines if PACKAGE in line or "ActivityManager" not in line][-_EXCERPT:]
    if told:
        print("\n".join(["from the device's log:", *told]), file=sys.stderr)
    signs = ("Exception", "Error", "signal")
    crash = [line.split(": ", 1)[-1].strip() for line in told if any(sign in line for sign in signs)]
    reason = f"crashed ({crash[0][:200]})" if crash else "was ended by the system, perhaps for want of memory"
    return AndroidError(f"the app on {device.serial} {reason}: see adb logcat, and report it if it comes again")


def _packed(bundle: Bundle, archive: Path) -> Path:
    """The bundle's own files as a .zip."""
    names = ["manifest.json", *bundle.manifest.files]
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for name in names:
                opened.write(bundle.folder / name, name)
    except OSError as error:
        raise StorageError(f"cannot write {archive} ({error.strerror}): free some space in {archive.parent}") from None
    return archive


def _need_space(device: Adb, bundle: Bundle, archive: Path) -> None:
    """Refuse a device that cannot hold the archive, its files, and the model of a packed bundle."""
    files = sum(entry.bytes for entry in bundle.manifest.files.values()) + bundle.model_path.stat().st_size
    need, free = (archive.stat().st_size + files) // 1024 + 1024, device.free_kilobytes(_PUSHED)
    if free is not None and free < need:
        raise AndroidError(
            f"{device.serial} has not enough space ({free:,} KB are free and {need:,} KB needed): free some on it"
        )


def _clean(device: Adb, *remote: str) -> None:
    """Delete what a request left; a device that is gone is not a second error."""
    with contextlib.suppress(AndroidError):
        device.shell("rm", "-f", *remote, check=False)
