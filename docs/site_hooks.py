# SPDX-License-Identifier: Apache-2.0
"""Hooks of mkdocs: README and the other pages of the root become pages of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md",
         "reporting.md": "SECURITY.md"}  # fmt: skip
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages, with their links as they are from the site."""
    for name, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_LINK.sub(_link, text)))
    return files


def _link(match: re.Match[str]) -> str:
    image, text, target, anchor = match.groups()
    names = {source: name for name, source in PAGES.items()}
    if target.startswith("docs/"):
        target = target.removeprefix("docs/")
    elif target in names:
        target = names[target]
    else:
        return text  # a file that the site does not have
    return f"{image}[{text}]({target}{anchor or ''})"
