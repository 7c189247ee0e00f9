# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures of published bundles, from the extra ``secure``.

The publisher keeps a private key (PEM, PKCS #8, unencrypted, readable by its owner); devices pin the public one, as a
PEM file or as 64 hexadecimal digits. This module does not know what is signed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import ConfigError, StorageError
from pocketrec.device.base.files import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAKE = "make one with `pocketrec publish --make-key FILE`"


def make_key(path: str | Path) -> str:
    """Write a new private key, and its public one beside it as ``<path>.pub``; gives the public key's digits.

    Raises:
        StorageError: there is a file already, or it cannot be written.
        ConfigError: the extra ``secure`` is not installed.
    """
    need_cryptography()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    for file in (Path(path), Path(f"{path}.pub")):
        if file.exists():
            raise StorageError(f"{file} exists and is not overwritten: name another file, or remove it")
    write_atomic(path, private, mode=0o600)
    write_atomic(f"{path}.pub", public)
    return public_digits(key)


def read_private(path: str | Path) -> Ed25519PrivateKey:
    """A private key from its file.

    Raises:
        ConfigError: no such key, or the extra ``secure`` is not installed.
    """
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"cannot read the key {path} ({error.strerror}): {_MAKE}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no private Ed25519 key without a password: {_MAKE}")
    return key


def public_digits(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def read_public(given: str | Path) -> str:
    """The public key that a file holds, or that the text itself is: 64 hexadecimal digits.

    Raises:
        ConfigError: neither; or a file is to be read and the extra ``secure`` is not installed.
    """
    text = str(given).strip().lower()
    if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text) and not os.path.exists(given):
        return text
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    how = "give the publisher's KEY.pub, or its 64 digits"
    try:
        content = Path(given).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the public key {given} ({error.strerror}): {how}") from None
    try:
        key = load_pem_public_key(content)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{given} holds no public Ed25519 key: {how}")
    return key.public_bytes_raw().hex()


def is_signed_by(public: str, signature: str, content: bytes) -> bool:
    """Whether a key has signed some bytes.

    Args:
        public: the key, 64 hexadecimal digits.
        signature: 128 hexadecimal digits.
        content: what was signed.

    Raises:
        ConfigError: the extra ``secure`` is not installed.
    """
    need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def need_cryptography() -> None:
    """Raise a `ConfigError` where the extra ``secure`` is not installed."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError:
        raise ConfigError("signatures need the package cryptography: pip install 'pocketrec[secure]'") from None
