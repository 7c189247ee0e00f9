# SPDX-License-Identifier: Apache-2.0
"""The process of `pocketrec`: it ends with the status of `main`, whatever libraries do when a process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest
from started import PROGRAM

ABORTS = "import ctypes; ctypes.CDLL(None).__cxa_atexit(ctypes.CDLL(None).abort, None, None)"
"""As a thread pool does at exit of which a thread is still being started; it cannot be had at will."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="__cxa_atexit is glibc's and musl's name for it")
@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["rum"], 2), (["state", "--nothing"], 2)])
def test_no_librarys_end_changes_the_status_or_swallows_output(words: list[str], status: int) -> None:
    def run(before: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", f"{before}; {PROGRAM}", *words], capture_output=True, text=True,
                              check=False)  # fmt: skip

    bare = subprocess.run([sys.executable, "-c", ABORTS], capture_output=True, check=False)
    assert bare.returncode < 0, "the library of this test aborts"
    usual, done = run("pass"), run(ABORTS)
    assert (done.returncode, done.stdout, done.stderr) == (status, usual.stdout, usual.stderr)
    assert usual.returncode == status
    assert usual.stdout + usual.stderr


def test_exit_handlers_of_python_still_run() -> None:
    main = "cli.main = lambda: atexit.register(print, 'cleared') and 3"
    code = f"import atexit; from pocketrec import cli; {main}; {PROGRAM}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "cleared\n")


def test_ctrl_c_while_the_subcommand_is_imported_is_one_line() -> None:
    stopped = "importlib.import_module = lambda name: signal.raise_signal(signal.SIGINT)"
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background processes ignore it
    code = f"import importlib, signal; {heard}; {stopped}; {PROGRAM}"
    done = subprocess.run([sys.executable, "-c", code, "run", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted: the same command resumes the work\n"
