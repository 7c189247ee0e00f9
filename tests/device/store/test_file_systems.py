# SPDX-License-Identifier: Apache-2.0
"""The event store on file systems that are read-only, full, or without locks, each a real one.

The names of these tests stand in the table of docs/device.md, "Threads, processes, containers".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pocketrec.device.store.database import EventStore


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    script = "mount -t tmpfs none /mnt"
    return subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not _may_mount(), reason="no mount namespace may be made here: needs root and `unshare`")

# Runs the commands given as JSON, one after the other, and prints what each gave as a line of JSON.
COMMANDS = """
import contextlib, io, json, subprocess, sys
from pocketrec.cli import main
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    if words[0] == "$":
        subprocess.run(words[1:], check=words[1] != "dd", capture_output=True)
        continue
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    lines = [line for line in err.getvalue().splitlines() if not line.startswith("INFO:")]
    last = out.getvalue().splitlines()[-1:]
    print(json.dumps({"status": status, "json": json.loads(last[0]) if last else None, "err": lines}))
"""


def commands(
    words: list[list[object]], *, before: str = "", environment: dict[str, str] | None = None, privileges: bool = True
) -> list[dict]:
    """Run commands: after `before` (shell) in a mount namespace of their own, or without root's privileges."""
    texts = json.dumps([[str(word) for word in line] for line in words])
    line = [sys.executable, "-c", COMMANDS, texts]
    if before:
        line = ["unshare", "-m", "sh", "-ec", f'{before}; exec "$0" "$@"', *line]
    if not privileges:
        line = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *line]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
    assert done.returncode == 0, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


def reading(user: tuple[object, ...], out: Path) -> list[list[object]]:
    return [["recommend", *user, "-k", 2], ["store", "show", *user], ["export-data", *user, "--out", out]]


def check_reading(results: list[dict], cause: str, count: int) -> None:
    recommended, shown, exported = results
    assert [result["status"] for result in results] == [0, 0, 0], results
    assert recommended["json"]["history"] == shown["json"]["events"] == exported["json"]["events"] == count
    for result in results:
        assert len(result["err"]) == 1, result
        assert f"can only be read ({cause})" in result["err"][0]


@mounts
@pytest.mark.parametrize("left", ["closed", "killed", "log without its index"])
def test_reading_from_a_read_only_file_system(folder: Path, tmp_path: Path, left: str) -> None:
    user = ("--bundle", folder, "--user", "u1")
    kept = folder.parent / "bundle.states"
    assert [result["status"] for result in commands([["record", *user, "--item", "item 3", "item 7"]])] == [0]
    (path,) = kept.glob("*.events")
    if left != "closed":
        code = ("import os, sys\nfrom pocketrec.device.store.database import EventStore\n"
                "EventStore(sys.argv[1]).append(['item 9'])\nos._exit(0)")  # fmt: skip
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        assert Path(f"{path}-wal").stat().st_size
    if left == "log without its index":
        Path(f"{path}-shm").unlink()
    names = sorted(os.listdir(kept))
    place, out = folder.parent, tmp_path.parent / f"{tmp_path.name}.csv"
    before = f'mount --bind "{place}" "{place}"; mount -o remount,ro,bind "{place}"'
    writing = [["record", *user, "--item", "item 1"], ["personalise", *user], ["wipe", *user]]
    results = commands([*reading(user, out), *writing], before=before)
    check_reading(results[:3], "Read-only file system", 2 if left == "closed" else 3)
    for result in results[3:]:
        assert result["status"] == 2
        assert len(result["err"]) == 1
        assert "Read-only file system" in result["err"][0]
    assert sorted(os.listdir(kept)) == names
    with EventStore(path) as store:
        assert len(store) == (2 if left == "closed" else 3)


@mounts
def test_reading_from_a_full_disk_and_recording_when_there_is_room_again(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    user = ("--bundle", place / "bundle", "--user", "u1")
    fill = ["$", "dd", "if=/dev/zero", f"of={place / 'filling'}", "bs=4096"]
    record = ["record", *user, "--item"]
    results = commands(
        [
            [*record, "item 3", "item 7"], fill, *reading(user, tmp_path / "out.csv"), [*record, "item 9"],
            ["$", "rm", place / "filling"], [*record, "item 9"], fill, *reading(user, tmp_path / "out.csv"),
        ],
        before=f'mount -t tmpfs -o size=1m none "{place}"; cp -r "{folder}" "{place}/bundle"',
    )  # fmt: skip
    assert results[0]["status"] == 0
    check_reading(results[1:4], "No space left on device", 2)
    assert results[4]["status"] == 2
    assert "No space left on device" in results[4]["err"][0]
    assert (results[5]["status"], results[5]["json"]["held"]) == (0, 3)
    check_reading(results[6:], "No space left on device", 3)


@pytest.mark.skipif(
    shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root, and `setpriv` of util-linux"
)
def test_reading_what_may_not_be_written(folder: Path, tmp_path: Path) -> None:
    user = ("--bundle", folder, "--user", "u1")
    assert commands([["record", *user, "--item", "item 3", "item 7"]])[0]["status"] == 0
    kept = folder.parent / "bundle.states"
    for path in (kept, *kept.iterdir()):
        os.chown(path, 65534, 65534)
        path.chmod(0o755)
    results = commands(reading(user, tmp_path / "out.csv"), privileges=False)
    check_reading(results, "Permission denied", 2)


NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

static int answer(const char *name, int file, int command, void *argument) {
    if (command == F_SETLK || command == F_SETLKW || command == F_GETLK) { errno = ENOLCK; return -1; }
    int (*real)(int, int, void *) = (int (*)(int, int, void *)) dlsym(RTLD_NEXT, name);
    return real(file, command, argument);
}
int fcntl(int file, int command, ...) {
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list);
    return answer("fcntl", file, command, argument);
}
int fcntl64(int file, int command, ...) {
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list);
    return answer("fcntl64", file, command, argument);
}
"""


@pytest.fixture
def without_locks(tmp_path: Path) -> dict[str, str]:
    """An environment in which every lock of a file is refused with ENOLCK, as NFS without its lock server does."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    source, library = tmp_path / "locks.c", tmp_path / "locks.so"
    source.write_text(NO_LOCKS)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def test_a_file_system_without_locks_is_named(folder: Path, tmp_path: Path, without_locks: dict[str, str]) -> None:
    new, old = tmp_path / "new.events", tmp_path / "old.events"
    with EventStore(old) as store:
        store.append(["a"])
    for path in (new, old):
        (result,) = commands([["record", "--store", path, "--item", "item 3"]], environment=without_locks)
        assert result["status"] == 2
        (line,) = result["err"]
        assert "on a file system without locks (No locks available)" in line
        assert "another process" not in line
    assert not new.exists()
    assert len(EventStore(old)) == 1
