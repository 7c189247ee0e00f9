# SPDX-License-Identifier: Apache-2.0
"""Writes docs/configuration.md from the docstrings of `pocketrec.cloud.config`: ``python docs/configuration.py``.

The text under each field of a configuration class is its documentation; this only lays it out. A test compares.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pocketrec.cloud.config.layers import LAYERS
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import field_names
from pocketrec.cloud.config.transfer import TransferConfig
from pocketrec.device.base.choices import Table

_HEAD = """\
# Configuration

A run is described by one TOML file (`configs/` has some). Every key has a default; a file holds what differs. On the
command line `--set table.key=value` changes one, as often as needed: `--set train.epochs=3 --set data.path=clicks.csv`.
The resolved configuration is kept in `RUN/config.json`. This page is made from `cloud/config/`.

Where a key names one of several choices (`model.backbone = "gru"`), the options of a choice stand in a table of its
name (`[model.gru]`; on the command line `--set model.gru.hidden=128`). Options of choices that are not chosen may stay
in the file; they are checked, too.

Until November 2026 some of these keys stood elsewhere (`model.hidden`). A file that has one is refused with the new
address, and `pocketrec config upgrade FILE` rewrites it: values, comments and order are kept, a moved key goes with the
comments right above it to its new table, which follows the one that it was in, and `FILE.old` is the file as it was
(`--out NEW.toml` writes another file instead). Runs made before need nothing: they are read, and stay up to date.

`seed` (default 1) stands at the top, before the first table: the seed of everything random.
"""

_MORE = """\
Installed packages may add lines, by entry points of the group `{group}`:
see [development.md](development.md#in-a-package-of-your-own).
"""


def render() -> str:
    """The page."""
    parts = [_HEAD]
    for name, kind in get_type_hints(RunConfig).items():
        if dataclasses.is_dataclass(kind):
            parts += _tables(name, kind)
    parts += _tables("transfer", TransferConfig)
    parts += ["## Layers", "", "What a backbone may be made of: the kinds of layer that the exporter knows.", ""]
    parts += _rows(LAYERS)
    return "\n".join(parts)


def _tables(name: str, kind: Any) -> list[str]:
    """A section, the choices that its keys name, and the tables below it."""
    lines = [f"## [{name}]", "", _text(inspect.cleandoc(kind.__doc__)), ""]
    texts, types = _field_texts(kind), get_type_hints(kind)
    rows, below = [], {}
    seams: dict[str, Table] = getattr(kind, "CHOICES", {})
    for key in field_names(kind):
        field = kind.__dataclass_fields__[key]
        factory = field.default_factory
        default = factory() if factory is not dataclasses.MISSING else field.default
        if dataclasses.is_dataclass(types[key]):
            below[f"{name}.{key}"] = types[key]
            continue
        if inner := [part for part in get_args(types[key]) if dataclasses.is_dataclass(part)]:
            below[f"{name}.{key}.NAME"] = inner[0]  # tables of names that the user chooses
            continue
        text = texts[key] + (f" One of {_names(seams[key])}." if key in seams else "")
        rows.append(f"| `{key}` | `{_toml(default)}` | {text} |")
    lines += ["| key | default | meaning |", "| --- | --- | --- |", *rows, ""] if rows else []
    for seam in seams.values():
        lines += _rows(seam)
        for choice, line in seam.own.items():
            if line.options and not getattr(line, "section", ""):
                below[f"{name}.{choice}"] = line.options_class()
    parts = ["\n".join(lines)]
    for address, options in below.items():
        parts += _tables(address, options)
    return parts


def _rows(seam: Table) -> list[str]:
    """The table of a seam's choices."""
    lines = [f"| `{seam.key}` | what it is | options |", "| --- | --- | --- |"]
    for choice, line in seam.own.items():
        section = getattr(line, "section", "") or f"{seam.key.rpartition('.')[0]}.{choice}"
        lines.append(f"| `{choice}` | {_text(line.says)} | {f'`[{section}]`' if line.options else ''} |")
    return [*lines, "", *([_MORE.format(group=seam.group)] if seam.group else [])]


def _names(seam: Table) -> str:
    return ", ".join(f"`{name}`" for name in seam.own)


def _text(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _field_texts(kind: Any) -> dict[str, str]:
    """The string that stands under each field, those of the classes that it extends included."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str] = {}
    for base in kind.__bases__:
        texts |= _field_texts(base) if dataclasses.is_dataclass(base) else {}
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
