# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md: its commands, in their order; what it says of a device is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from server import serving
from started import PROGRAM

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"
OTHERS = ("make install", "source ", "mkdir ", "python -m http.server", "kill %1")
"""Lines of the page that are not run here: environment and folder are there, and a server of the tests runs."""


def lines(text: str) -> list[str]:
    """The commands of the page."""
    found = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [line for line in found if not line.startswith(OTHERS)]


@pytest.mark.long
def test_the_tutorial_from_top_to_bottom(tmp_path: Path) -> None:
    folder, programs = tmp_path / "tutorial", tmp_path / "bin"
    for place in (folder, programs, folder / "www"):
        place.mkdir()
    script = programs / "pocketrec"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{PROGRAM}' \"$@\"\n")
    script.chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    printed: dict[str, str] = {}
    text = PAGE.read_text(encoding="utf-8")
    with serving(folder / "www") as site:
        for line in lines(text):
            words = line.replace("http://127.0.0.1:8461", site.url)
            done = subprocess.run(["bash", "-c", words], cwd=folder, env={**os.environ, **path}, capture_output=True,
                                  text=True, check=False)  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            printed[line] = done.stdout
    checked = next(out for line, out in printed.items() if line.startswith("pocketrec data check"))
    assert "\n".join(checked.splitlines()[:-1]) in text, "what the page shows of `data check`"
    answers = [out for line, out in printed.items() if line.startswith("pocketrec recommend")]
    assert re.search(r"^ +1 +i00150 ", answers[-1], re.MULTILINE), "what comes after i00008 is first"
    assert (folder / "runs/clicks/report.html").exists()
