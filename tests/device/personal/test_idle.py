# SPDX-License-Identifier: Apache-2.0
"""Training only where the machine is idle, cool and not on battery."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pocketrec.cli import main
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.personal import add_personalise
from pocketrec.device.personal import budget, idle
from pocketrec.device.personal.idle import BUSY, Idle

CORES = os.cpu_count() or 1


def machine(folder: Path, load: float = 0.1, degrees: float = 40, **supplies: dict[str, str]) -> Idle:
    """A machine as Linux would tell of it."""
    (folder / "loadavg").write_text(f"{load * CORES:.2f} 0.00 0.00 1/234 5678\n")
    (folder / "zones" / "thermal_zone0").mkdir(parents=True, exist_ok=True)
    (folder / "zones" / "thermal_zone0" / "temp").write_text(f"{degrees * 1000:.0f}\n")
    for name, told in supplies.items():
        (folder / "supplies" / name).mkdir(parents=True)
        for key, value in told.items():
            (folder / "supplies" / name / key).write_text(f"{value}\n")
    return Idle(load_file=folder / "loadavg", zones=folder / "zones", supplies=folder / "supplies")


BATTERY = {"type": "Battery", "status": "Discharging"}


def test_idle_cool_and_on_mains_is_no_reason_to_wait(tmp_path: Path) -> None:
    assert machine(tmp_path).reason() == ""


def test_what_cannot_be_read_is_no_reason_to_wait(tmp_path: Path) -> None:
    assert Idle(load_file=tmp_path / "no", zones=tmp_path / "no", supplies=tmp_path / "no").reason() == ""


def test_busy_warm_and_on_battery_each_say_why(tmp_path: Path) -> None:
    for name, told, expected in (
        ("load", {"load": 0.75}, "load 0.75 a core, the limit is 0.5"),
        ("warm", {"degrees": 61}, "61 degrees Celsius, the limit is 60"),
        ("battery", {"BAT0": BATTERY}, "on battery"),
    ):
        (tmp_path / name).mkdir()
        assert machine(tmp_path / name, **told).reason() == expected  # type: ignore[arg-type]


def test_a_battery_beside_mains_or_of_a_mouse_does_not_count(tmp_path: Path) -> None:
    for name, supplies in (
        ("mains", {"BAT0": BATTERY, "ZAC": {"type": "Mains", "online": "1"}}),
        ("mouse", {"hid": {**BATTERY, "scope": "Device"}}),
        ("full", {"BAT0": {"type": "Battery", "status": "Full"}}),
    ):
        (tmp_path / name).mkdir()
        assert machine(tmp_path / name, **supplies).reason() == ""
    (tmp_path / "off").mkdir()
    assert machine(tmp_path / "off", BAT0=BATTERY, AC={"type": "Mains", "online": "0"}).reason() == "on battery"


def test_a_limit_that_is_none_is_refused() -> None:
    for load in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="give a number"):
            Idle(load)


def test_the_command_trains_or_says_why_not(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, state = tmp_path / "events.csv", tmp_path / "s"
    csv.write_text("item,timestamp\n" + "".join(f"item {1 + n % 3},{1000 + n}\n" for n in range(12)))
    words = ["personalise", "--bundle", str(folder), "--events", str(csv), "--state", str(state), "--if-idle"]
    asked = []

    def reason(self: Idle) -> str:
        asked.append((self.load, self.celsius))
        return "load 2.00 a core, the limit is 0.5" if len(asked) == 1 else ""

    monkeypatch.setattr(idle.Idle, "reason", reason)
    assert main(words) == BUSY
    assert capfd.readouterr().out == "not trained: load 2.00 a core, the limit is 0.5\n"
    assert not state.exists()
    assert main([*words, "0.3"]) == 0
    assert state.exists()
    assert asked == [(0.5, 60.0), (0.3, 60.0)]


def test_a_limit_that_nothing_can_be_compared_with_is_none_where_idleness_is_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    csv = tmp_path / "events.csv"
    csv.write_text("item,timestamp\n" + "".join(f"item {1 + n % 3},{1000 + n}\n" for n in range(12)))
    words = ["personalise", "--bundle", str(folder), "--events", str(csv), "--max-celsius", "70"]
    monkeypatch.setattr(idle.Idle, "reason", lambda self: "")
    for degrees, row, limit in ((None, True, None), (40.0, False, 70.0)):
        monkeypatch.setattr(budget, "hottest", lambda zones=None, degrees=degrees: degrees)
        assert main([*words, "--if-idle"]) == 0
        out = capsys.readouterr().out
        assert ("temperature    cannot be read here: no limit" in out) == row
        assert json.loads(out.splitlines()[-1])["max_celsius"] == limit
    monkeypatch.setattr(budget, "hottest", lambda zones=None: None)
    assert main(words) == 2  # who asks for the limit alone wants it
    assert "no temperature can be read" in capsys.readouterr().err


UNITS = Path(__file__).parents[3] / "device" / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None or not UNITS.is_dir(), reason="no systemd here")
def test_systemd_accepts_service_and_timer(tmp_path: Path) -> None:
    for file in UNITS.iterdir():
        program = re.sub(r"/opt/\S+", "/bin/true", file.read_text())  # verify looks for the program
        (tmp_path / file.name.replace("@", "@u1")).write_text(program)
    words = ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    service = (UNITS / "pocketrec@.service").read_text()
    assert "\nStateDirectoryMode=0700\n" in service
    (command,) = re.findall(r"ExecStart=\S+ (.*)", service)
    add_personalise(parser := argparse.ArgumentParser())
    assert parser.parse_args(command.split()[1:]).if_new
    # what it would say of a wrong one
    (tmp_path / "pocketrec@u1.timer").write_text("[Timer]\nOnCalendar=never\n")
    assert subprocess.run(words, capture_output=True, text=True, check=False).stderr
