"""Writes docs/configuration.md from the docstrings of `pocketrec.cloud.config`: ``python docs/configuration.py``.

The text under each field of a configuration class is its documentation; this only lays it out. A test compares.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any, get_type_hints

from pocketrec.cloud.config.run import RunConfig

_HEAD = """\
# Configuration

A run is described by one TOML file (`configs/` has some). Every key has a default; a file holds what differs. On the
command line `--set table.key=value` changes one, as often as needed: `--set train.epochs=3 --set data.path=clicks.csv`.
The resolved configuration is kept in `RUN/config.json`. This page is made from `cloud/config/`.

`seed` (default 1) stands at the top, before the first table: the seed of everything random.
"""


def render() -> str:
    """The page."""
    parts = [_HEAD]
    for name, kind in get_type_hints(RunConfig).items():
        if dataclasses.is_dataclass(kind):
            parts.append(_table(name, kind))
    return "\n".join(parts)


def _table(name: str, kind: Any) -> str:
    lines = [f"## [{name}]", "", inspect.cleandoc(kind.__doc__), ""]
    lines += ["| key | default | meaning |", "| --- | --- | --- |"]
    texts, inner = _field_texts(kind), []
    for field in dataclasses.fields(kind):
        factory = field.default_factory
        default = factory() if factory is not dataclasses.MISSING else field.default
        if dataclasses.is_dataclass(default):
            inner.append(_table(f"{name}.{field.name}", type(default)))
            continue
        lines.append(f"| `{field.name}` | `{_toml(default)}` | {texts[field.name]} |")
    return "\n".join([*lines, "", *inner])


def _field_texts(kind: Any) -> dict[str, str]:
    """The string that stands under each field."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str] = {}
    name = ""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            texts[name] = " ".join(str(node.value.value).replace("``", "`").replace("|", "\\|").split())
    return texts


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return "{}" if value == {} else f"{value}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(render(), encoding="utf-8")
