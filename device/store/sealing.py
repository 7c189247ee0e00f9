# SPDX-License-Identifier: Apache-2.0
"""Encryption at rest with a key that the caller gives: AES-256-GCM, from the extra ``secure``.

What is sealed can be read, and changed without being noticed, only with the key. Its length, and when its file was
written, stay visible; and somebody who can write the file can put an older one in its place. Where the key is kept
(the keystore of the phone, a secure element, a file of root's) is the caller's matter: PocketRec never writes it. This
module knows nothing about events and states.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from pocketrec.device.base.errors import ConfigError

#: Bytes of a key.
KEY_BYTES: Final = 32

_NONCE = 12  # bytes; random, as NIST SP 800-38D allows for up to 2^32 messages of one key
_ADVICE = "pip install 'pocketrec[secure]'"


class SealError(Exception):
    """What was to be opened was sealed with another key, or is altered."""


class Seal:
    """Seals and opens bytes with one key.

    Args:
        key: 32 random bytes.

    Raises:
        ConfigError: the key has another length, or the extra ``secure`` is not installed.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"the key has {len(key)} bytes and not {KEY_BYTES}: make one with `openssl rand -hex 32`")
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ConfigError(f"encryption needs the package cryptography: {_ADVICE}") from None
        self._cipher = AESGCM(_derived(key, b"seal"))
        self._mark = _derived(key, b"mark")

    def seal(self, content: bytes, about: bytes = b"") -> bytes:
        """The sealed content, 28 bytes longer; `about` is not in it and has to be the same when it is opened."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, about)

    def open(self, sealed: bytes, about: bytes = b"") -> bytes:
        """The inverse of `seal`.

        Raises:
            SealError: sealed with another key or another `about`, or altered.
        """
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
        except (InvalidTag, ValueError):
            raise SealError from None

    def mark(self, content: bytes) -> bytes:
        """16 bytes by which equal contents are known, which tell nothing about the content without the key."""
        return hmac.digest(self._mark, content, "sha256")[:16]


def read_key(path: str | Path) -> bytes:
    """A key from a file that holds 32 bytes, or 64 hexadecimal digits.

    Raises:
        ConfigError: the file cannot be read or holds something else.
    """
    how = "make one with `openssl rand -hex 32 > FILE`"
    try:
        with open(path, "rb") as file:
            content = file.read(4 * KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read the key {path} ({error.strerror}): {how}") from None
    if len(content) == KEY_BYTES:
        return content
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} holds no key of {KEY_BYTES} bytes: {how}")
    return key


def _derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose: HKDF's expansion (RFC 5869), one block."""
    return hmac.digest(key, b"pocketrec " + purpose + b"\x01", hashlib.sha256)
