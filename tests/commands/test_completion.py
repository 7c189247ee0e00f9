# SPDX-License-Identifier: Apache-2.0
"""`pocketrec completion`: bash completes commands, options, choices and file names of every command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pocketrec.cli import COMMANDS, main

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "pocketrec.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["completion", "bash"]) == 0
    return path


def completed(script: Path, folder: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    lines = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_pocketrec; printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "-c", lines, str(script), "pocketrec", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return set(done.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes(script: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    assert completed(script, tmp_path, "") >= set(COMMANDS)
    assert completed(script, tmp_path, "recomm") == {"recommend"}
    assert completed(script, tmp_path, "run", "--fail-u") == {"--fail-under"}
    assert completed(script, tmp_path, "run", "mi") == {"mine.toml"}
    assert completed(script, tmp_path, "data", "ch") == {"check"}
    assert completed(script, tmp_path, "completion", "z") == {"zsh"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_every_command(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["completion", "fish"])
    assert refused.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
