# SPDX-License-Identifier: Apache-2.0
"""Where a user's files lie under the many names of a bundle, and folders and streams that are not as they should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from started import POCKETREC

from pocketrec.cli import main
from pocketrec.device.store.database import EventStore

links = pytest.mark.skipif(os.name == "nt", reason="links need a right there")


def done(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    result: dict = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def shown(capsys: pytest.CaptureFixture[str], bundle: object) -> int:
    return int(done(capsys, "store", "show", "--bundle", bundle, "--user", "u1")["events"])


def record(capsys: pytest.CaptureFixture[str], bundle: object, item: str = "item 3") -> Path:
    return Path(str(done(capsys, "record", "--bundle", bundle, "--user", "u1", "--item", item)["store"]))


def by_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (folder.parent / "current").symlink_to(folder.name)
    return folder.parent / "current"


def by_link_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    (folder.parent / "apps").mkdir()
    (folder.parent / "apps" / "recommender").symlink_to(folder)
    return folder.parent / "apps" / "recommender"


def by_dot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(folder)
    return "."


def by_way_around(folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(folder / "candidates")
    return f"..{os.sep}candidates{os.sep}..{os.sep}"


NAMES = [by_link, by_link_elsewhere, by_dot, by_way_around]


@links
@pytest.mark.parametrize("other_name", NAMES)
@pytest.mark.parametrize("first", ["by its name", "by the other"])
def test_every_name_of_a_bundle_leads_to_the_same_files_and_wipe_finds_them(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, first: str,
    other_name: Callable[[Path, pytest.MonkeyPatch], object],
) -> None:  # fmt: skip
    other = other_name(folder, monkeypatch)
    one, two = (folder, other) if first == "by its name" else (other, folder)
    path = record(capsys, one)
    assert (shown(capsys, one), shown(capsys, two)) == (1, 1)
    done(capsys, "personalise", "--bundle", one, "--user", "u1")
    assert done(capsys, "recommend", "--bundle", two, "--user", "u1", "-k", 3)["history"] == 1
    assert str(path) in done(capsys, "wipe", "--bundle", two, "--user", "u1")["deleted"]
    assert os.listdir(path.parent) == []


def test_a_renamed_bundle_keeps_its_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(capsys, folder)
    renamed = folder.rename(folder.with_name("other"))
    assert shown(capsys, renamed) == 1
    capsys.readouterr()
    assert main(["store", "show", "--bundle", str(renamed), "--user", "u1"]) == 0
    assert record(capsys, renamed, "item 7") == path
    again = renamed.rename(folder.with_name("a third"))
    assert shown(capsys, again) == 2
    assert str(path) in done(capsys, "wipe", "--bundle", again, "--user", "u1")["deleted"]


@links
def test_a_link_that_leads_to_the_next_bundle_keeps_its_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, later = folder.parent / "current", Path(shutil.copytree(folder, folder.parent / "later"))
    link.symlink_to(folder.name)
    path = record(capsys, link)
    link.unlink()
    link.symlink_to(later.name)
    assert shown(capsys, link) == 1
    assert record(capsys, link, "item 7") == path
    assert shown(capsys, later) == 2


def test_another_bundle_has_files_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(capsys, folder)
    copy = Path(shutil.copytree(folder, folder.parent / "copy"))
    assert main(["store", "show", "--bundle", str(copy), "--user", "u1"]) == 2
    assert record(capsys, copy) != record(capsys, folder, "item 7")
    assert (shown(capsys, copy), shown(capsys, folder)) == (1, 2)


@links
def test_files_of_one_user_in_two_places_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(capsys, folder)
    (folder.parent / "current").symlink_to(folder.name)
    before = folder.parent / "current.states" / path.name  # where earlier versions kept them
    with EventStore(before) as store:
        store.append(["item 5", "item 6"])
    capsys.readouterr()
    assert main(["store", "show", "--bundle", str(folder.parent / "current"), "--user", "u1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path.parent) in line
    assert str(before.parent) in line
    deleted = done(capsys, "wipe", "--bundle", folder.parent / "current", "--user", "u1")["deleted"]
    assert {str(path), str(before)} <= set(deleted)


@links
def test_files_that_an_earlier_version_kept_beside_a_link_are_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(capsys, folder)
    (folder.parent / "current").symlink_to(folder.name)
    path.parent.rename(folder.parent / "current.states")
    assert shown(capsys, folder.parent / "current") == 1


def test_events_of_a_pulled_version_lie_beside_the_folder_of_versions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pocketrec.device.delivery.versions import Current, collect

    here = folder.parent / "here"
    version = here / "versions" / "0123456789abcdef"
    shutil.copytree(folder, version)
    current = Current(current=version.name)
    current.write(here)
    path = record(capsys, version)
    assert path.parent == folder.parent / "here.states"
    assert shown(capsys, here) == 1
    before = version.with_name(f"{version.name}.states")  # where earlier versions kept them
    path.parent.rename(before)
    collect(here, current)
    assert shown(capsys, version) == 1


# --- folders and streams ----------------------------------------------------------------------------------------


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


_ONE = ["record", "--item", "item 3", "item 7", "item 3", "item 7"]
_REST = [["personalise"], ["store", "show"], ["state", "show"], ["wipe"]]


# A runtime opens the file in one of them; the others are as they are whichever it is.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are bytes on Linux alone")
@pytest.mark.parametrize("commands", [
    pytest.param([["recommend", "-k", "3"]], marks=pytest.mark.runtime, id="recommend"),
    pytest.param([_ONE, *_REST], id="others"),
    pytest.param([["bench", "--calls", "2"]], marks=pytest.mark.long, id="bench"),
])  # fmt: skip
def test_a_folder_whose_name_is_not_utf_8(folder: Path, commands: list[list[str]]) -> None:
    odd = folder.rename(folder.with_name(os.fsdecode(b"bundle \xff\xfe")))
    for command in commands:
        words = [*command, "--bundle", odd, *([] if command[0] == "bench" else ["--user", "u1"])]
        done = subprocess.run([*POCKETREC, *words], capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a working folder can be deleted on Linux")
def test_a_deleted_working_folder_is_one_line(folder: Path, tmp_path: Path) -> None:
    for bundle in ("bundle", "."):
        gone = tmp_path / "gone"
        gone.mkdir()
        script = f'cd "{gone}" && rmdir "{gone}" && exec "$0" "$@"'
        words = ["sh", "-c", script, *POCKETREC, "record", "--bundle", bundle, "--user", "u1", "--item", "item 3"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "the working folder was deleted" in one_line(done)


@pytest.mark.skipif(os.name == "nt", reason="streams are closed by the shell")
def test_closed_standard_output_is_one_line(folder: Path) -> None:
    user = ["--bundle", str(folder), "--user", "u1"]
    for words in (["record", *user, "--item", "item 3"], ["recommend", *user], ["--help"]):
        line = ["sh", "-c", '"$0" "$@" >&-', *POCKETREC, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "standard output is closed" in one_line(done)
    # A file that is opened must not get the number of standard error: the runtimes write to it.
    for words, key in ((["record", *user, "--item", "item 3"], "held"), (["recommend", *user], "history")):
        line = ["sh", "-c", '"$0" "$@" 2>&- <&-', *POCKETREC, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, json.loads(done.stdout.splitlines()[-1])[key]) == (0, 1)
    code = """
import os, sys
from pathlib import Path
from pocketrec.cli import main
main(["store", "show", "--store", sys.argv[1]])
with open(sys.argv[1] + ".note", "wb") as file:
    assert file.fileno() > 2
"""
    line = ["sh", "-c", '"$0" "$@" 2>&- <&-', sys.executable, "-c", code, str(folder / "none")]
    assert subprocess.run(line, check=False).returncode == 0


WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # root, but files of others are closed to it


@pytest.mark.skipif(
    shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root, and `setpriv` of util-linux"
)
def test_a_state_that_may_not_be_read_is_not_to_be_reset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = ["--bundle", str(folder), "--user", "u1"]
    record(capsys, folder)
    state = str(done(capsys, "personalise", *user)["state"])
    os.chown(state, 65534, 65534)
    for words in (["recommend", *user], ["state", "show", *user]):
        line = [*WITHOUT_PRIVILEGES, *POCKETREC, *words]
        line = one_line(subprocess.run(line, capture_output=True, text=True, check=False))
        assert f"cannot read {state} (Permission denied)" in line
        assert "state reset" not in line
