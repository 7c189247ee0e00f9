# SPDX-License-Identifier: Apache-2.0
"""One Android device through `adb`: what it is, files to and from it, commands on it.

Every failure is an `AndroidError` in one line that says what to do. Knows nothing about the app.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pocketrec.device.base.errors import AndroidError

_HOMES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")
_PROPERTIES = {
    "manufacturer": "ro.product.manufacturer",
    "device": "ro.product.model",
    "android": "ro.build.version.release",
    "api": "ro.build.version.sdk",
    "abis": "ro.product.cpu.abilist",
}
_STATES = {
    "unauthorized": "it has not allowed this computer: unlock its screen, accept USB debugging, and try again",
    "offline": "it does not answer: connect it again, or restart the emulator",
    "no permissions": "this user may not use it: join the group plugdev, install udev rules, and connect it again",
    "authorizing": "it is being authorised: try again in a few seconds",
}


@dataclass(frozen=True)
class Device:
    """A line of `adb devices`."""

    serial: str
    """Names it for --serial."""
    state: str
    """device where it can be used; else unauthorized, offline, recovery, ..."""


def find_adb() -> str:
    """The adb on PATH, or in the Android SDK that ANDROID_HOME names.

    Raises:
        AndroidError: it does not exist.
    """
    places = [Path(os.environ[name], "platform-tools", "adb") for name in _HOMES if os.environ.get(name)]
    for found in (shutil.which("adb"), *(str(place) for place in places if os.access(place, os.X_OK))):
        if found:
            return found
    raise AndroidError("there is no adb: install Android's platform-tools (on Debian: apt-get install adb)")


def list_devices(adb: str) -> list[Device]:
    """Devices and emulators that adb knows, usable or not."""
    lines = _run([adb, "devices"], 30).splitlines()
    start = next((place + 1 for place, line in enumerate(lines) if line.startswith("List of devices")), len(lines))
    return [Device(*(part.strip() for part in line.split(None, 1))) for line in lines[start:] if len(line.split()) > 1]


def choose_device(adb: str, serial: str | None) -> Adb:
    """The device with this serial, else the only one there is.

    Raises:
        AndroidError: it does not exist, or another number of them than one, or it cannot be used.
    """
    devices = list_devices(adb)
    names = ", ".join(device.serial for device in devices)
    if serial is not None:
        chosen = [device for device in devices if device.serial == serial]
        if not chosen:
            raise AndroidError(f"no device {serial} is connected: " + (f"name one of {names}" if names else _CONNECT))
    elif not devices:
        raise AndroidError(f"no device is connected: {_CONNECT}")
    else:
        chosen = [device for device in devices if device.state == "device"] or devices
        if len(chosen) > 1:
            raise AndroidError(f"several devices are connected ({names}): name one with --serial")
    (device,) = chosen
    if device.state != "device":
        known = (way for state, way in _STATES.items() if device.state.startswith(state))
        way = next(known, f"it is in the state {device.state}: start Android on it, and try again")
        raise AndroidError(f"the device {device.serial} cannot be used, for {way}")
    return Adb(adb, device.serial)


_CONNECT = "connect one with USB debugging switched on, or start an emulator"


@dataclass(frozen=True)
class Adb:
    """A device that answers."""

    adb: str
    """The program."""
    serial: str
    """Which device."""

    def shell(self, *words: str, timeout: float = 30, check: bool = True) -> str:
        """Run a command on the device, each word quoted for its shell, and give what it printed.

        Raises:
            AndroidError: the device is gone, the time is over, or, with `check`, the command failed.
        """
        return self.script(shlex.join(words), timeout=timeout, check=check)

    def script(self, line: str, timeout: float = 30, check: bool = True) -> str:
        """As `shell`, for a line of the device's shell."""
        return self._do("shell", line, timeout=timeout, check=check)

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the device.

        Raises:
            AndroidError: it could not be copied; nothing of it is left there.
        """
        try:
            self._do("push", str(local), remote, timeout=600)
        except AndroidError as error:
            self.shell("rm", "-f", remote, check=False)
            if "No space left" in str(error):
                raise AndroidError(f"{self.serial} has not enough space for {local.name}: free some") from None
            raise

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the device."""
        self._do("pull", remote, str(local), timeout=120)

    def install(self, apk: Path) -> None:
        """Install an app, over an older version of it too.

        Raises:
            AndroidError: the device refused it; the message has its word.
        """
        said = self._do("install", "-r", str(apk), timeout=300, check=False)
        if "Success" not in said:
            reason = re.search(r"INSTALL_[A-Z_]+", said)
            code = reason.group() if reason else " ".join(said.split())[-200:] or "no reason given"
            way = next((way for part, way in _REFUSED.items() if part in code), "see what adb install says of it")
            raise AndroidError(f"{self.serial} did not install {apk.name} ({code}): {way}")

    def properties(self) -> dict[str, str]:
        """Manufacturer, model, Android's version, API level and ABIs, as the device says."""
        return {name: self.shell("getprop", key, check=False).strip() for name, key in _PROPERTIES.items()}

    def free_kilobytes(self, place: str) -> int | None:
        """Space left where `place` lies; None where the device does not say."""
        words = self.shell("df", "-k", place, check=False).split()
        numbers = [place for place, word in enumerate(words) if word.endswith("%") and word != "Use%"]
        if not numbers or numbers[0] < 1 or not words[numbers[0] - 1].isdigit():
            return None
        return int(words[numbers[0] - 1])

    def log_since(self, moment: str) -> list[str]:
        """Lines of the device's log from a `moment` on, as its clock wrote it."""
        said = self._do("logcat", "-d", "-b", "main,system,crash", "-T", moment, timeout=30, check=False)
        return said.splitlines()

    def clock(self) -> str:
        """The device's time as `log_since` takes it."""
        return self.shell("date", "+%m-%d %H:%M:%S.000").strip()

    def _do(self, *words: str, timeout: float, check: bool = True) -> str:
        return _run([self.adb, "-s", self.serial, *words], timeout, check)


_REFUSED = {
    "INSUFFICIENT_STORAGE": "free some space on it",
    "UPDATE_INCOMPATIBLE": "an app with another key is there: adb uninstall pocketrec.app first",
    "VERSION_DOWNGRADE": "a newer one is there: adb uninstall pocketrec.app first",
    "NO_MATCHING_ABIS": "the APK has no libraries for its processor",
    "OLDER_SDK": "it needs Android 8 or later",
}


def _run(command: list[str], timeout: float, check: bool = True) -> str:
    """What a command printed; with `check`, a failure is an error."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, text=True, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise AndroidError(f"adb did not answer within {timeout:g} s: see whether the device answers") from None
    except OSError as error:
        raise AndroidError(f"cannot start {command[0]} ({error.strerror}): install Android's platform-tools") from None
    said = done.stdout + done.stderr
    if done.returncode != 0:
        if re.search(r"device '.*' not found|no devices/emulators|device offline|closed\b|protocol fault", done.stderr):
            raise AndroidError("the device was disconnected: connect it again and start once more")
        if check:
            last = " ".join(said.split())[-200:] or f"status {done.returncode}"
            raise AndroidError(f"adb {command[3]} failed ({last}): see whether the device still answers")
    return said
