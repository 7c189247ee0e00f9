# SPDX-License-Identifier: Apache-2.0
"""What README and docs show is what the program takes: commands parse, configurations are read, links lead on."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pocketrec import __version__
from pocketrec.cli import COMMANDS, parser_of
from pocketrec.cloud.config.load import config_from_dict, load_config
from pocketrec.device.base.errors import PocketRecError

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "android_harness/README.md", ROOT / "benchmarks/README.md",
         *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs").glob("*.toml"))]  # fmt: skip
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = "|".join(sorted(COMMANDS, key=len, reverse=True))
COMMAND = re.compile(r"(?:^|[\s;&`(\"'])(?:\S*/)?pocketrec +(" + NAMES + r")\b([^`]*)")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
ENDS = ("#", ">", "|", "&&", ";")


def page(path: Path) -> Any:
    return pytest.param(path, id=str(path.relative_to(ROOT)))


def commands(text: str) -> list[str]:
    """Commands with arguments: lines of indented or fenced blocks, and inline code that names a configuration."""
    text = re.sub(r" *\\\n\s*", " ", text)
    text = "\n\n".join(_unwrapped(part) for part in text.split("\n\n"))
    found = []
    for line in text.splitlines():
        block = line.startswith("    ") or re.match(r"(\.venv/bin/)?pocketrec |until |  command: |ExecStart=", line)
        for match in COMMAND.finditer(line):
            words, rest = match.group(1), match.group(2).strip()
            if rest and (block or "configs/" in rest):
                found.append(f"{words} {rest}")
    return found


def _unwrapped(paragraph: str) -> str:
    """With each piece of inline code in one line."""
    pieces = paragraph.split("`")
    if paragraph.startswith(("```", "    ")) or len(pieces) % 2 == 0:
        return paragraph
    return "`".join(piece.replace("\n", " ") if place % 2 else piece for place, piece in enumerate(pieces))


def words_of(command: str) -> list[str]:
    """The words of a command up to a comment, a pipe or a file for its output; of alternatives a|b the first."""
    command = re.sub(r"\$\w+|%i", "1", command.partition(": ")[0])  # a shell's or systemd's variables; what a note adds
    command = re.sub(r"\[[^\]\"']*\]", "", command) if "=[" not in command else command  # [--valid F]: may be left out
    lexer = shlex.shlex(command.rstrip("\"',;:."), posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:  # a quote of a shell around it ends here
        words = command.replace('"', " ").replace("'", " ").split()
    for place, word in enumerate(words):
        if word in ENDS or word.startswith((">", "2>")):
            words = words[:place]
            break
    return [word.rstrip(";\",'").split("|")[0] for word in words if word not in ('"', "]")]


FOUND = [
    pytest.param(path, command, id=f"{path.relative_to(ROOT)}: {command[:60]}")
    for path in PAGES
    for command in dict.fromkeys(commands(path.read_text()))
]


def test_there_are_commands_to_look_at() -> None:
    assert len(FOUND) > 60
    assert {command.split()[0] for command in (found.values[1] for found in FOUND)} >= {  # type: ignore[union-attr]
        "run", "search", "compare", "pfedrec", "audit", "publish", "pull", "personalise", "recommend", "bench"
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command"), FOUND)
def test_commands_are_ones_that_the_program_takes(path: Path, command: str) -> None:
    words = words_of(command)
    try:
        options = parser_of(words[:1]).parse_args(words)
    except SystemExit as refused:
        assert not refused.code, f"{path.name}: pocketrec {command}"  # noqa: PT017
        return
    config = getattr(options, "config", None)
    if config is not None and (ROOT / config).is_file() and words[0] not in ("pfedrec", "transfer"):
        placed = [change for change in options.overrides if not re.search(r"=(\{\w+\}|[A-Z]|PATH)$", change)]
        load_config(ROOT / config, placed)


@pytest.mark.parametrize("path", [page(path) for path in PAGES if path.suffix == ".md"])
def test_blocks_of_toml_are_configurations(path: Path) -> None:
    for kind, text in FENCE.findall(path.read_text()):
        if kind == "toml":
            config_from_dict(tomllib.loads(text))
        elif kind == "python":
            compile(text, str(path), "exec")


def test_the_pages_whose_python_is_run_are_all_that_have_some() -> None:
    """By tests/test_demo.py those of README and docs/runs.md, by tests/device/test_docs.py the others."""
    found = {path.relative_to(ROOT).as_posix() for path in PAGES if path.suffix == ".md"
             and any(kind == "python" for kind, _ in FENCE.findall(path.read_text()))}  # fmt: skip
    assert found == {"README.md", "docs/runs.md", "docs/device.md", "docs/federated.md"}


@pytest.mark.parametrize("path", [page(path) for path in PAGES if path.suffix == ".md"])
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file = (path.parent / target).resolve()
        assert file.exists(), f"{path.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file.read_text()), f"{path.name}: {target}{anchor}"


@pytest.mark.parametrize("path", [page(path) for path in PAGES if path.suffix == ".md"])
def test_anchors_within_a_page(path: Path) -> None:
    text = path.read_text()
    for anchor in re.findall(r"\]\(#([^)]*)\)", text):
        assert anchor in anchors(text), f"{path.name}: #{anchor}"


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as forges and mkdocs make them."""
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_the_version_is_the_same_everywhere() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_word_too_many_would_be_noticed() -> None:
    assert commands("    pocketrec run configs/demo.toml --outt x   # so") == ["run configs/demo.toml --outt x   # so"]
    with pytest.raises(SystemExit) as refused:
        parser_of(["run"]).parse_args(words_of("run configs/demo.toml --outt x   # so"))
    assert refused.value.code == 2
    with pytest.raises(PocketRecError):
        config_from_dict({"model": {"hidden_": 3}})
    assert "model-and-more" in anchors("## Model, and more\n")


def _features() -> Any:
    spec = importlib.util.spec_from_file_location("features_page", ROOT / "docs/features.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    return page


def test_the_page_about_features_is_up_to_date() -> None:
    text = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    assert text == _features().page(), "run: python docs/features.py"


def test_a_test_names_only_features_that_there_are() -> None:
    page = _features()
    known = {feature for feature, _, _ in page.rows()}
    assert set(page.found()) <= known


def test_features_are_found_in_marks_docstrings_and_names() -> None:
    source = '''
"""All of it (K1)."""
class TestIt:
    @pytest.mark.feature("D1", "N4")
    def test_a(self): pass
def test_f9_by_name(): pass
def test_b():
    """F1 to F3, and D24."""
def helper():
    """P1 is not a test."""
'''
    found = set(_features().named(ast.parse(source)))
    assert found == {
        ("K1", ""), ("D1", "TestIt::test_a"), ("N4", "TestIt::test_a"), ("F9", "test_f9_by_name"), ("F1", "test_b"),
        ("F2", "test_b"), ("F3", "test_b"), ("D24", "test_b"),
    }  # fmt: skip
