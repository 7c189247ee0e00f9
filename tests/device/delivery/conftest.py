# SPDX-License-Identifier: Apache-2.0
"""A server on loopback, a folder to pull into, and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "device" / "bundle"


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    """Three private keys; beside each lies its public one."""
    pytest.importorskip("cryptography")
    from pocketrec.device.delivery.signing import make_key

    files = [tmp_path / f"key{number}" for number in range(3)]
    for file in files:
        make_key(file)
    return files


@pytest.fixture
def digits(keys: list[Path]) -> list[str]:
    """Their public keys."""
    from pocketrec.device.delivery.signing import read_public

    return [read_public(f"{key}.pub") for key in keys]
