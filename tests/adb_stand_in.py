# SPDX-License-Identifier: Apache-2.0
"""An adb for tests: its devices are folders, and the Java harness on a JVM runs where the app would.

ADB_STAND_IN names a folder with devices.json: a list of {serial, state, properties, free_kb, app}. The files of a
device lie in the folder of its serial. ``app`` says what happens when the app is started: run (the desktop harness,
which ADB_STAND_IN_JAVA starts, answers), crash, killed, hang, or start_fails. Of the device's shell it knows the few
commands that pocketrec sends.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["ADB_STAND_IN"])
CRASH = [
    "11-21 10:00:01.000  4242  4250 E AndroidRuntime: FATAL EXCEPTION: pool-2-thread-1",
    "11-21 10:00:01.000  4242  4250 E AndroidRuntime: Process: pocketrec.app, PID: 4242",
    "11-21 10:00:01.000  4242  4250 E AndroidRuntime: java.lang.OutOfMemoryError: Failed to allocate 512 bytes",
    "11-21 10:00:01.000  4242  4250 E AndroidRuntime: \tat pocketrec.core.Model.train(Model.java:200)",
]
NOISE = ["11-21 10:00:00.500  1200  1300 I ActivityManager: Start proc 1:com.example/u0a1"]


def main(arguments: list[str]) -> int:
    devices = json.loads((ROOT / "devices.json").read_text())
    if arguments == ["devices"]:
        print("* daemon started successfully\nList of devices attached")
        print("".join(f"{device['serial']}\t{device['state']}\n" for device in devices))
        return 0
    assert arguments[0] == "-s", arguments
    device = next((one for one in devices if one["serial"] == arguments[1]), None)
    if device is None:
        return _fail(f"adb: device '{arguments[1]}' not found")
    command, *rest = arguments[2:]
    commands = {"shell": _shell, "push": _push, "pull": _pull, "install": _install, "logcat": _logcat}
    return commands[command](device, rest)


def _shell(device: dict[str, Any], words: list[str]) -> int:
    status = 0
    for part in " ".join(words).replace(" 2>/dev/null", "").split(";"):
        status = _command(device, shlex.split(part))
    return status


def _command(device: dict[str, Any], words: list[str]) -> int:
    name, *rest = words
    if name == "getprop":
        print(device["properties"].get(rest[0], ""))
    elif name == "pm":
        if not _place(device, "/installed.apk").exists():
            return 1
        print("package:/data/app/pocketrec.app/base.apk")
    elif name == "df":
        print("Filesystem 1K-blocks Used Available Use% Mounted on\n"
              f"/dev/block/dm-5 64000000 1 {device['free_kb']} 1% /data")  # fmt: skip
    elif name == "date":
        print("11-21 10:00:00.000")
    elif name == "echo":
        print(*rest)
    elif name == "ls":
        names = sorted(path.name for path in _place(device, rest[0]).glob("*") if path.is_file())
        print("\n".join(names))
    elif name == "cat":
        print(_place(device, rest[0]).read_text())
    elif name == "rm":
        for path in rest[1:]:
            _place(device, path).unlink(missing_ok=True)
    elif name == "pidof":
        return _process(device)
    elif name == "am":
        return _start(device, rest) if rest[0] == "start" else _stop(device)
    else:
        assert name == "chmod", words
    return 0


def _start(device: dict[str, Any], words: list[str]) -> int:
    extras = {words[at + 1]: words[at + 2] for at, word in enumerate(words) if word in ("--es", "--ei")}
    if device["app"] == "start_fails":
        print("Error type 3\nError: Activity class {pocketrec.app/pocketrec.app.BenchmarkActivity} does not exist.")
        return 0
    print("Starting: Intent { cmp=pocketrec.app/.BenchmarkActivity }\nStatus: ok")
    if device["app"] == "hang":
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
    elif device["app"] == "run":
        files = _place(device, "/sdcard/Android/data/pocketrec.app/files")
        files.mkdir(parents=True, exist_ok=True)
        bundle = _place(device, extras["bundle"])
        command = [
            *shlex.split(os.environ["ADB_STAND_IN_JAVA"]), "request", "--id", extras["id"], "--bundle", str(bundle),
            "--files", str(files), "--runs", extras["runs"], "--threads", extras["threads"],
            "--xnnpack", extras["xnnpack"], "--litert", os.environ["ADB_STAND_IN_LITERT"],
        ]  # fmt: skip
    else:
        return 0
    with open(_place(device, "/app.log"), "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    _place(device, "/pid").write_text(str(process.pid))
    return 0


def _process(device: dict[str, Any]) -> int:
    place = _place(device, "/pid")
    if not place.exists():
        return 1
    try:
        state = Path(f"/proc/{place.read_text()}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return 1
    if state == "Z":
        return 1
    print(place.read_text())
    return 0


def _stop(device: dict[str, Any]) -> int:
    os.kill(int(_place(device, "/pid").read_text()), 9)
    time.sleep(0.05)
    return 0


def _push(device: dict[str, Any], words: list[str]) -> int:
    target = _place(device, words[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    if device["free_kb"] * 1024 < Path(words[0]).stat().st_size or device.get("full"):
        return _fail(f"adb: error: failed to copy '{words[0]}' to '{words[1]}': remote No space left on device")
    shutil.copyfile(words[0], target)
    return 0


def _pull(device: dict[str, Any], words: list[str]) -> int:
    shutil.copyfile(_place(device, words[0]), words[1])
    return 0


def _install(device: dict[str, Any], words: list[str]) -> int:
    if device.get("refuses"):
        return _fail(f"adb: failed to install {words[-1]}: Failure [{device['refuses']}]")
    _place(device, "/").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(words[-1], _place(device, "/installed.apk"))
    print("Performing Streamed Install\nSuccess")
    return 0


def _logcat(device: dict[str, Any], words: list[str]) -> int:
    print("\n".join([*NOISE, *(CRASH if device["app"] == "crash" else [])]))
    return 0


def _place(device: dict[str, Any], path: str) -> Path:
    return ROOT / device["serial"] / path.lstrip("/")


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
