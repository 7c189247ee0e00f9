# SPDX-License-Identifier: Apache-2.0
"""A configuration file with old keys as one with today's: comments, order and values stay as they are written.

A key that has moved goes to its new table, which stands right after the table that it was in, with the comments right
above it. Where a file is written in a way that this cannot follow (a section as an inline table, say), the tables
themselves are written out, without comments. What comes out is read again and compared with what
`pocketrec.cloud.config.moved.upgraded` makes of the tables, so no value is lost either way.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pocketrec.cloud.config.moved import MOVED, MOVED_TABLES, old_keys, upgraded
from pocketrec.cloud.config.toml import tables_to_toml

_HEADER: Final = re.compile(r"\s*\[([^\[\]]+)\](\s*(?:#.*)?)$")
_NAME: Final = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY: Final = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")


@dataclass
class _Entry:
    """A key with its value, and the comment lines right above it."""

    key: str
    text: str
    above: list[str] = field(default_factory=list)


@dataclass
class _Table:
    """A table of the file: its header line, and what stands below it."""

    name: str
    header: str
    lines: list[str | _Entry] = field(default_factory=list)
    """Entries, and other lines (blank ones, comments that belong to no key) as they are."""

    @property
    def entries(self) -> list[_Entry]:
        return [line for line in self.lines if isinstance(line, _Entry)]


def upgrade_text(text: str) -> tuple[str, list[tuple[str, str]], bool]:
    """The text of a configuration file with every key at today's address.

    Args:
        text: TOML.

    Returns:
        The new text; the addresses that have changed, old and new; and whether comments and order are kept.

    Raises:
        ConfigError: a key stands at both its addresses.
        tomllib.TOMLDecodeError: the text is not TOML.
    """
    tables = tomllib.loads(text)
    moves = list(old_keys(tables))
    wanted = upgraded(tables)
    if not moves:
        return text, [], True
    new = _written(_moved(_tables(text)))
    if _read(new) == wanted:
        return new, moves, True
    return tables_to_toml(wanted), moves, False


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _tables(text: str) -> list[_Table]:
    """The file cut at its headers; the first table is what stands before any."""
    found = [_Table("", "")]
    for kind, name, chunk in _statements(text):
        lines = found[-1].lines
        if kind == "table":
            found.append(_Table(name, chunk))
        elif kind == "key":
            above: list[str] = []
            while lines and isinstance(lines[-1], str) and lines[-1].lstrip().startswith("#"):
                above.insert(0, str(lines.pop()))
            lines.append(_Entry(name, chunk, above))
        else:
            lines.append(chunk)
    return found


def _statements(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind (table, key or other), name, and lines of each statement; a value may take several lines."""
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            yield "table", ".".join(_parts(header[1])), line
        elif key:
            while _read(line) is None and place < len(lines):
                line += "\n" + lines[place]
                place += 1
            yield "key", ".".join(_parts(key[1])), line
        else:
            yield "other", "", line


def _parts(name: str) -> list[str]:
    """Parts of a dotted key."""
    return [part[1:-1] if part[0] in "\"'" else part for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^\s.]+", name)]


def _moved(tables: list[_Table]) -> list[_Table]:
    """The tables with all entries where they belong today."""
    names = {table.name: table for table in tables}
    found: list[_Table] = []
    for table in tables:
        found.append(table)
        if table.name in MOVED_TABLES:
            _rename(table, MOVED_TABLES[table.name])
            continue
        if table.name == "search.space":
            for entry in table.entries:
                _rename_key(entry, MOVED.get(entry.key, entry.key), quoted=True)
        if table.name in ("", "search"):
            for entry in table.entries:
                if not table.name:
                    _rename_key(entry, MOVED.get(entry.key, entry.key))
            continue
        below: dict[str, list[_Entry]] = {}
        for entry in table.entries:
            parent, _, key = MOVED.get(f"{table.name}.{entry.key}", "").rpartition(".")
            if parent:
                _rename_key(entry, key)
                below.setdefault(parent, []).append(entry)
        for parent, entries in below.items():
            _take(table, entries)
            if parent in names:
                _append(names[parent], entries)
            elif not table.entries and table.header and len(below) == 1:  # all of it has moved
                _rename(table, parent)
                _append(table, entries)
                names[parent] = table
            else:
                names[parent] = _Table(parent, f"[{parent}]", list(entries))
                _end_with_blank(table, names[parent])
                found.append(names[parent])
    return found


def _rename(table: _Table, name: str) -> None:
    comment = _HEADER.match(table.header)
    table.name, table.header = name, f"[{name}]{comment[2] if comment else ''}"


def _rename_key(entry: _Entry, key: str, *, quoted: bool = False) -> None:
    if key != entry.key:
        _, _, rest = entry.text.partition("=")
        entry.key, entry.text = key, f'"{key}" ={rest}' if quoted else f"{key} ={rest}"


def _take(table: _Table, entries: list[_Entry]) -> None:
    table.lines = [line for line in table.lines if not any(line is entry for entry in entries)]


def _append(table: _Table, entries: list[_Entry]) -> None:
    """Put entries after the last of a table, before the lines that part it from the next."""
    place = max((n + 1 for n, line in enumerate(table.lines) if isinstance(line, _Entry)), default=0)
    table.lines[place:place] = entries


def _end_with_blank(table: _Table, after: _Table) -> None:
    """Hand the lines that end a table on to the one that now follows it, and part the two by a blank line."""
    place = max((n + 1 for n, line in enumerate(table.lines) if isinstance(line, _Entry)), default=0)
    left = table.lines[place:]
    after.lines += [line for n, line in enumerate(left) if n == 0 or line != "" or left[n - 1] != ""]
    table.lines[place:] = [""]


def _written(tables: list[_Table]) -> str:
    lines: list[str] = []
    for table in tables:
        lines += [table.header] if table.header else []
        for line in table.lines:
            lines += [*line.above, line.text] if isinstance(line, _Entry) else [line]
    return "\n".join(lines)
