# SPDX-License-Identifier: Apache-2.0
"""The primitives of masks: keys for a round, what two members agree on, streams of numbers, sealed shares, signatures.

X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), ChaCha20 and ChaCha20-Poly1305 (RFC 8439), Ed25519 (RFC 8032), by the package
`cryptography` of the extra ``secure``. Device and server use the same functions. This module knows no protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ConfigError, FederatedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY: Final = 32
_NO_NONCE12: Final = bytes(12)  # every key below is used for one message
_NO_NONCE16: Final = bytes(16)
_SIGNED: Final = b"pocketrec masks 1\0"


@dataclass(frozen=True)
class Advertised:
    """Public keys of a member for one round, hexadecimal."""

    seal: str
    """X25519; shares for this member are encrypted with it (the paper's c^PK)."""
    mask: str
    """X25519; pairwise masks follow from it (the paper's s^PK)."""
    node: str = ""
    """Ed25519; who the member is, where the fleet has a roster."""
    signature: str = ""
    """By the node's key, of the round and both keys above."""


def need_masks() -> None:
    """Raise a `ConfigError` where the extra ``secure`` is not installed."""
    try:
        import cryptography.hazmat.primitives.asymmetric.x25519  # noqa: F401
    except ImportError:
        raise ConfigError("masks need the package cryptography: pip install 'pocketrec[secure]'") from None


def new_secret() -> bytes:
    """A private X25519 key, 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(secret: bytes) -> str:
    """The public key of a private one, hexadecimal."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def agree(secret: bytes, public: str, purpose: str) -> bytes:
    """32 bytes that two members agree on for a purpose, each from its private and the other's public key.

    Raises:
        FederatedError: the public key is none.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    try:
        other = X25519PublicKey.from_public_bytes(bytes.fromhex(public))
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(other)
    except ValueError:
        raise FederatedError("a key of the round's directory is no key: take no part in this round") from None
    return HKDF(hashes.SHA256(), _KEY, None, purpose.encode()).derive(shared)


def stream(seed: bytes, length: int, word: int) -> Array:
    """Random numbers from a seed of 32 bytes: [length], uint16 or uint32 as `word` is 16 or 32 (the paper's PRG)."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    made = Cipher(ChaCha20(seed, _NO_NONCE16), mode=None).encryptor().update(bytes(length * word // 8))
    numbers: Array = np.frombuffer(made, f"<u{word // 8}")
    return numbers


def seal(key: bytes, content: bytes) -> bytes:
    """Content encrypted and authenticated with a key that is used this once."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(_NO_NONCE12, content, None)


def unseal(key: bytes, content: bytes) -> bytes:
    """The inverse of `seal`.

    Raises:
        FederatedError: it was altered, or is for somebody else.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        return ChaCha20Poly1305(key).decrypt(_NO_NONCE12, content, None)
    except InvalidTag:
        raise FederatedError("shares of another member were altered on their way: take no part in this round") from None


def sign(key: Ed25519PrivateKey, content: str) -> str:
    """A node's signature of a statement of the protocol, hexadecimal."""
    return key.sign(_SIGNED + content.encode()).hex()


def is_signed(node: str, signature: str, content: str) -> bool:
    """Whether a node has signed a statement of the protocol."""
    from pocketrec.device.delivery.signing import is_signed_by

    return is_signed_by(node, signature, _SIGNED + content.encode())
