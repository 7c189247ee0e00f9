# SPDX-License-Identifier: Apache-2.0
"""The frame of report.html: style sheet, sections, tables. No resource is fetched from anywhere.

Knows nothing about metrics; gets titles, words and markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pocketrec.cloud.report.style import STYLE


def page(title: str, content: str) -> str:
    """The whole document; `title` is plain, `content` is markup."""
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n")


def section(title: str, words: str, content: str) -> str:
    """A card with a heading; `words` (plain) say what is seen below."""
    note = f'<p class="soft">{escape(words)}</p>' if words else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{note}{content}\n</section>"


def heading(title: str) -> str:
    """A small heading inside a card."""
    return f"<h3>{escape(title)}</h3>"


def pair(*parts: str) -> str:
    """Drawings side by side where there is room."""
    return '<div class="pair">' + "".join(f"<div>{part}</div>" for part in parts if part) + "</div>"


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Large figures: (value, what it is, small print), all plain."""
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(note)}</small></div>'
        for value, name, note in entries) + "</div>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], strong: Sequence[int] = ()) -> str:
    """A table; `head` is plain, the cells are markup; rows with an index in `strong` are set off."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = ""
    for index, row in enumerate(rows):
        kind = ' class="strong"' if index in strong else ""
        body += f"<tr{kind}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def details(title: str, words: str) -> str:
    """A folded block of plain text."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(words)}</pre></details>"
