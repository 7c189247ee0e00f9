# SPDX-License-Identifier: Apache-2.0
"""Addresses: whether one can be asked for, and the name and password in it, which are sent and never shown."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote, urlsplit

_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


def is_address(url: str) -> bool:
    """Whether this is an HTTP(S) address with a host that can be asked for."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # invalid brackets or port, or a part of the name that is empty or too long
        return False


def split_login(url: str) -> tuple[str, str]:
    """An address without ``user:password@``, and the value of the header Authorization; "" where it has none.

    User and password are percent-encoded in an address.
    """
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, ""
    user, _, password = login.partition(":")
    told = f"{unquote(user)}:{unquote(password)}".encode(errors="surrogateescape")
    return parts._replace(netloc=host).geturl(), f"Basic {base64.b64encode(told).decode('ascii')}"


def shown(url: str) -> str:
    """What a message may show of an address, or of what should have been one: all but user and password."""
    return _LOGIN.sub(r"\1", url)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address: who is trusted with a password."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(scheme)
