# SPDX-License-Identifier: Apache-2.0
"""The device's subcommands, each in a process of its own or in this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from loyal import loyal
from started import PROGRAM

from pocketrec.cli import main
from pocketrec.device.cli.options import default_state
from pocketrec.device.cli.places import NOTE

pytestmark = pytest.mark.runtime


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    lines = ["user,item,timestamp"]
    for user in ("u1", "new"):
        lines += [f"{user},item {row},{990 + place}" for place, row in enumerate(loyal(40))]
    path = tmp_path / "events.csv"
    path.write_text("\n".join([*lines, "u1,strange,1100", "u1,item 1,soon", ""]))
    return path


def run(*words: object) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as leave:
        return int(leave.code or 0)


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    result: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("INFO:")]
    assert len(errors) == 1, captured.err
    assert errors[0].startswith("error: ")
    return errors[0]


def test_personalise_then_recommend(folder: Path, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = ("--bundle", folder, "--user", "u1")
    assert run("personalise", *user, "--events", csv) == 0
    done = last(capsys)
    assert done["choice"] == "personal"
    assert (done["history"], done["events"], done["unknown"], done["bad_rows"]) == (40, 30, 1, 1)
    assert done["state"] == str(default_state(folder, "u1"))
    assert run("recommend", *user, "-k", 3) == 0
    best = last(capsys)
    assert (best["weights"], best["history"], len(best["items"])) == ("personal", 40, 3)  # type: ignore[arg-type]
    assert run("recommend", *user, "--candidates", "item 1", "item 5", "--now", 1.6e9) == 0
    assert set(last(capsys)["items"]) == {"item 1", "item 5"}  # type: ignore[call-overload]


def test_personalise_twice_gives_the_same_state_and_resume_learns_only_what_is_new(
    folder: Path, csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ("--state", tmp_path / "s")
    user = ("--bundle", folder, "--user", "u1", *state)
    run("personalise", *user, "--events", csv)
    first = last(capsys)
    run("personalise", *user, "--events", csv)
    assert last(capsys) == first
    with csv.open("a") as file:
        file.write("".join(f"u1,item {row},{3000 + place}\n" for place, row in enumerate(loyal(10))))
    run("personalise", *user, "--events", csv, "--resume", "--passes", 2)
    more = last(capsys)
    assert (more["history"], more["events"]) == (50, 10)
    assert run("state", "show", *user) == 0
    shown = last(capsys)
    assert (shown["generation"], shown["history"], shown["user"]) == (3, 50, "u1")
    assert run("state", "restore", *user) == 0
    assert last(capsys)["history"] == 40
    assert run("state", "reset", *state) == 0
    assert last(capsys)["deleted"] == [str(tmp_path / "s"), str(tmp_path / "s.quality")]
    assert "no state file" in fails(capsys, "state", "show", *state)


def test_unknown_users(folder: Path, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = ("--bundle", folder, "--user", "nobody")
    assert "user 'nobody' is unknown" in fails(capsys, "recommend", *nobody)
    assert "no user was named" in fails(capsys, "recommend", "--bundle", folder)
    assert "has no row of user nobody" in fails(capsys, "personalise", *nobody, "--events", csv)
    assert not default_state(folder, "nobody").exists()
    assert run("recommend", *nobody, "--new-user", "-k", 2) == 0
    assert last(capsys)["items"] == ["item 1", "item 2"]
    assert run("recommend", "--bundle", folder, "--user", "new", "--events", csv) == 0
    assert last(capsys)["history"] == 40
    assert run("personalise", "--bundle", folder, "--user", "new", "--events", csv) == 0
    assert run("recommend", "--bundle", folder, "--user", "new") == 0


def test_damage_is_one_line_and_the_state_stays_good(
    folder: Path, csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user = ("--bundle", folder, "--user", "u1")
    learn = ("personalise", *user, "--events", csv)
    assert run(*learn) == 0
    state = default_state(folder, "u1")
    good = state.read_bytes()
    columns = tmp_path / "columns.csv"
    columns.write_text("user,thing,timestamp\nu1,item 1,1\n")
    assert "has no column 'item'" in fails(capsys, "personalise", *user, "--events", columns)
    assert "No such file" in fails(capsys, "personalise", *user, "--events", tmp_path / "none.csv")
    assert "--passes must be" in fails(capsys, *learn, "--passes", 0)

    model = folder / "model.tflite"
    content = model.read_bytes()
    model.write_bytes(content[:-100])
    assert "is cut short" in fails(capsys, *learn)
    model.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    assert "is altered" in fails(capsys, "recommend", *user)
    model.write_bytes(content)
    assert state.read_bytes() == good
    assert run("recommend", *user) == 0

    other = Path(shutil.copytree(folder, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    manifest["tensors"]["slots"] = []
    (other / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert run("recommend", "--bundle", other, "--user", "u1", "--state", state) == 0
    assert "the personal state was left aside: it was of another model; 40 events" in capsys.readouterr().out
    assert state.read_bytes() == good

    assert run(*learn) == 0
    state.write_bytes(good[:-7])
    assert "is damaged" in fails(capsys, "recommend", *user)
    assert "pocketrec state restore" in fails(capsys, *learn)
    assert state.read_bytes() == good[:-7]
    assert run("state", "restore", *user) == 0
    assert state.read_bytes() == good
    assert run("recommend", *user) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["recommend", "--threads", "0"], "the number of threads must lie between 1 and "),
        (["recommend", "--threads", "-3"], "not -3: give another one"),
        (["recommend", "--threads", "100000"], "not 100000"),
        (["bench", "--threads", "100000"], "not 100000"),
        (["bench", "--calls", "0"], "--calls must be at least 1"),
        (["bench", "--calls", "-4"], "--calls must be at least 1"),
        (["recommend", "-k", "0"], "-k must be at least 1"),
        (["recommend", "--now", "nan"], "is not a time: give a number"),
        (["recommend", "--state", "."], ". is not the name of a state file"),
        (["recommend", "--state", ""], "is not the name of a state file"),
        (["recommend", "--state", "x" * 300], "File name too long"),
        (["state", "show", "--state", "/"], "is not the name of a state file"),
        (["state", "reset", "--state", "."], "is not the name of a state file"),
        (["state", "restore", "--state", ".."], "no previous generation"),
        (["recommend", "--candidates", "nope", "\udcff"], "none of the items of --candidates is known to the model"),
        (["recommend", "--user", "\udcff"], "user '\\udcff' is unknown"),
    ],
)
def test_every_wrong_argument_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    command, *rest = words
    user = [] if "--user" in words or command == "bench" else ["--user", "u1"]
    action = [rest.pop(0)] if command == "state" else []
    assert expected in fails(capsys, command, *action, "--bundle", folder, *user, *rest)


def test_ids_that_are_not_utf_8(folder: Path, csv: Path, tmp_path: Path) -> None:
    csv.write_text("item\n" + "".join(f"item {row}\n" for row in loyal(40)))
    user = ["--bundle", os.fsencode(folder), "--user", b"\xff"]
    for words in (
        ["recommend", *user, "--new-user"],
        ["personalise", *user, "--events", os.fsencode(csv)],
        ["recommend", *user, "--candidates", "item 1", b"\xff"],
        ["state", "show", *user],
    ):
        done = subprocess.run([sys.executable, "-m", "pocketrec.cli", *words], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])


def test_no_other_file_is_reset(folder: Path, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = ("--bundle", folder, "--user", "u1")
    content = csv.read_bytes()
    line = fails(capsys, "personalise", *user, "--events", csv, "--state", csv)
    assert "is not a personal state: name another file" in line
    assert "state reset" not in line
    assert "was not deleted" in fails(capsys, "state", "reset", *user, "--state", csv)
    assert csv.read_bytes() == content
    state = default_state(folder, "u1")
    state.parent.mkdir()
    state.write_bytes(b"what a broken disk left")
    assert run("state", "reset", *user) == 0
    assert not state.exists()


# Runs in a mount namespace of its own, in which the folder argv[1] becomes a disk of argv[2] kilobytes. Copies argv[3]
# there, runs the command twice, the second time on a full disk, and tells the result of it.
FULL_DISK = """
import json, os, shutil, subprocess, sys
disk, size, content, first, *words = sys.argv[1:]
mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", disk]
if subprocess.run(mount, capture_output=True).returncode:
    sys.exit(77)
os.chdir(disk)
if content:
    shutil.copy(content, disk)
command = [sys.executable, "-m", "pocketrec.cli", *words]
if first == "once before":
    subprocess.run(command, check=True, capture_output=True)
kept = {name: open(name, "rb").read() for name in os.listdir()}
try:
    with open("filler", "wb") as file:
        while file.write(bytes(4096)):
            file.flush()
except OSError:
    pass
done = subprocess.run(command, capture_output=True, text=True)
os.unlink("filler")
print(json.dumps([done.returncode, done.stderr.splitlines(), sorted(kept), sorted(os.listdir()),
                  all(open(name, "rb").read() == old for name, old in kept.items())]))
"""


def on_a_full_disk(tmp_path: Path, kilobytes: int, content: str, first: str, *words: object) -> None:
    """Assert that the command ends in one line and status 2 there, and that every file is as it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    code = [*unshare, sys.executable, "-c", FULL_DISK, disk, kilobytes, content, first, *words]
    try:
        done = subprocess.run([str(word) for word in code], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 77 or (done.returncode and done.stderr.startswith("unshare:")):
        pytest.skip("no file system may be mounted here")
    assert done.returncode == 0, done.stderr
    status, errors, before, after, same = json.loads(done.stdout)
    assert status == 2
    (line,) = [error for error in errors if not error.startswith("INFO:")]
    assert line.startswith("error: cannot write ")
    assert "No space left on device" in line
    assert before == after
    assert same


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_full_disk_while_a_state_is_written(folder: Path, csv: Path, tmp_path: Path) -> None:
    user = ("--bundle", folder, "--user", "u1", "--events", csv, "--state", "u1.state")
    on_a_full_disk(tmp_path, 64, "", "once before", "personalise", *user)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_full_disk_while_a_zip_is_unpacked(made: Path, tmp_path: Path) -> None:
    archive = made.with_name(made.name + ".zip")
    size = archive.stat().st_size // 1024 + 40
    on_a_full_disk(tmp_path, size, str(archive), "", "recommend", "--bundle", archive.name, "--user", "u1")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [
    ["recommend", "--user", "u1"], ["recommend", "--help"],
    pytest.param(["bench", "--calls", "1"], marks=pytest.mark.long),
])  # fmt: skip
def test_output_that_cannot_be_written_is_one_line(folder: Path, words: list[str]) -> None:
    code = [sys.executable, "-m", "pocketrec.cli", words[0], "--bundle", str(folder), *words[1:]]
    with open("/dev/full", "w") as full:
        done = subprocess.run(code, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    assert line.startswith("error: cannot write the output: No space left on device: free some space")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_file_that_may_not_grow_leaves_the_state_good(
    folder: Path, csv: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user = ("--bundle", folder, "--user", "u1")
    assert run("personalise", *user, "--events", csv) == 0
    state = default_state(folder, "u1")
    good = state.read_bytes()
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); {PROGRAM}"
    words = [sys.executable, "-c", code, "personalise", *map(str, user), "--events", str(csv)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    assert len(errors) == 1
    assert "cannot write" in errors[0]
    assert state.read_bytes() == good
    assert sorted(os.listdir(state.parent)) == [NOTE, state.name, f"{state.name}.quality"]
    assert run("recommend", *user) == 0


DEVICE = ["personalise", "recommend", "bench", "state", "record", "forget", "wipe", "export-data", "store", "pull"]


@pytest.mark.parametrize("command", [*DEVICE, "publish"])
def test_help_is_complete(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert "bundle" in text
    assert "JSON" in text
    assert "None" not in text


WATCHED = """
import sys
calls = []
sys.addaudithook(lambda name, values: calls.append(name) if name.startswith(("socket.", "urllib.", "http.")) else None)
from pocketrec.cli import main
status = main(sys.argv[1:])
heavy = [name for name in ("tensorflow", "keras", "pandas", "socket", "urllib.request", "ssl", "asyncio", "zipfile",
                           "unittest", "multiprocessing") if name in sys.modules]
print([status, calls, heavy])
"""


def test_no_network_and_nothing_heavy(folder: Path, csv: Path, tmp_path: Path) -> None:
    user = ["--bundle", str(folder), "--user", "u1"]
    alone = [["personalise", *user, "--events", str(csv)], ["recommend", *user]]
    kept = [["record", *user, "--events", str(csv)], ["personalise", *user], ["recommend", *user],
            ["forget", *user, "--item", "item 1"], ["export-data", *user, "--out", str(tmp_path / "mine.csv")],
            ["wipe", *user]]  # fmt: skip
    for words in alone + kept:
        code = [sys.executable, "-c", WATCHED, *words]
        done = subprocess.run(code, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[0, [], []]", words


def works(*words: str) -> bool:
    """Whether a command runs here and ends well."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def unable(reason: str) -> None:
    """Skip, except where the tests are run to be sure, on Linux in $CI."""
    if sys.platform == "linux" and os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.feature("D19")
def test_the_kernel_sees_no_network_call(folder: Path, csv: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(trace)]
    if not works(*strace, "true"):
        unable("no strace here, or none that may trace")
    user = ["--bundle", str(folder), "--user", "u1"]
    for words in (["personalise", *user, "--events", str(csv)], ["recommend", *user]):
        code = [*strace, sys.executable, "-m", "pocketrec.cli", *words]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = trace.read_text().splitlines()
        assert [line for line in lines if "(" in line and "+++" not in line and "---" not in line] == []
    opens = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
    subprocess.run([*strace, sys.executable, "-c", opens], check=True)
    assert "socket(" in trace.read_text(), "it would have been seen"


def test_a_machine_without_a_network_is_enough(folder: Path, csv: Path) -> None:
    alone = next((words for words in (["unshare", "-n"], ["unshare", "-rn"]) if works(*words, "true")), None)
    if alone is None:
        unable("no network namespace can be made here")
    user = ["--bundle", str(folder), "--user", "u1"]
    for words in (["personalise", *user, "--events", str(csv)], ["recommend", *user]):
        code = [*(alone or []), sys.executable, "-m", "pocketrec.cli", *words]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
