# SPDX-License-Identifier: Apache-2.0
"""A session made from what an application names: files, a key, a user. This module knows nothing about training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.state import file as states
from pocketrec.device.state.session import Session

if TYPE_CHECKING:
    from pocketrec.device.delivery.bundle import Bundle
    from pocketrec.device.engine.model import Model
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.store.sealing import Seal


def open_session(
    bundle: Bundle, user: str | None, path: str | Path | None, store: str | Path | EventStore | None,
    key: bytes | None, load: Callable[[Bundle], Model],
) -> Session:
    """A session with the state of the file, where there is one; see `pocketrec.device.Recommender`.

    Raises:
        ConfigError: the user is not a string.
    """
    if user is not None and not isinstance(user, str):
        raise ConfigError(f"user is {user!r}, which is not text: give the user id as a string")
    session = Session(
        bundle.for_user(user), user, None if path is None else Path(path), _store(store, key), _seal(key), load,
        own_store=isinstance(store, str | Path),
    )  # fmt: skip
    try:
        if session.path is not None and states.exists(session.path):
            session.load(session.path)
        else:
            session.refresh()
    except BaseException:
        session.close()
        raise
    return session


def _seal(key: bytes | None) -> Seal | None:
    if key is None:
        return None
    from pocketrec.device.store.sealing import Seal

    return Seal(key)


def _store(store: str | Path | EventStore | None, key: bytes | None) -> EventStore | None:
    if not isinstance(store, str | Path):
        return store
    from pocketrec.device.store.database import EventStore

    return EventStore(store, key=key)
