# SPDX-License-Identifier: Apache-2.0
"""The tables of the event store, and how old ones are brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

#: Statements that lead from each version of the tables to the next; a new store runs them all.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        # What mark and value are: pocketrec.device.store.rows. The id says in which order events came.
        "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB NOT NULL UNIQUE, value NOT NULL)",
    ),
)


def migrate(database: sqlite3.Connection) -> None:
    """Bring the tables to the latest version, inside the transaction of the caller."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
