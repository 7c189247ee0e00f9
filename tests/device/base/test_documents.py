# SPDX-License-Identifier: Apache-2.0
"""JSON documents, lines and notes, and the digests of plain values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.device.base import documents
from pocketrec.device.base.digest import canonical, digest, sha256_of
from pocketrec.device.base.errors import StorageError

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_PLAIN)
def test_every_form_comes_back(value: Any) -> None:
    for text in (documents.document(value), documents.line(value), documents.compact(value),
                 documents.line(value, ascii_only=False), canonical(value), canonical(value, spaced=True)):  # fmt: skip
        assert documents.parse(text) == value


def test_documents_are_for_people_and_lines_are_one() -> None:
    value = {"b": [1], "a": "é"}
    assert documents.document(value) == b'{\n "b": [\n  1\n ],\n "a": "\\u00e9"\n}\n'
    assert documents.document(value, ordered=True).startswith(b'{\n "a"')
    assert documents.line(value) == '{"b": [1], "a": "\\u00e9"}'
    assert documents.line(value, ascii_only=False) == '{"b": [1], "a": "é"}'
    assert documents.compact(value) == '{"b":[1],"a":"\\u00e9"}'


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[1", "nul", b'{"a":' * 100_000])
def test_what_is_no_json(text: bytes | str) -> None:
    with pytest.raises(documents.DocumentError, match="it is not JSON") as caught:
        documents.parse(text)
    assert "\n" not in str(caught.value)


def test_tables_only() -> None:
    assert documents.parse_table(b'{"a": 1}') == {"a": 1}
    with pytest.raises(documents.DocumentError, match="it is not a table"):
        documents.parse_table(b"[1]")


def test_files_and_notes(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.json"
    documents.write(path, {"a": 1}, mode=0o600)
    assert documents.read(path) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    note = tmp_path / ".note"
    assert not documents.holds(note, None)  # nothing is there, not even null
    documents.note(note, [1, "x"])
    assert documents.holds(note, [1, "x"])
    assert not documents.holds(note, [1, "y"])
    note.write_bytes(b"[1")
    assert not documents.holds(note, [1])
    with pytest.raises(StorageError):
        documents.write(note / "below a file", {})
    with pytest.raises(OSError, match="nothing"):
        documents.read(tmp_path / "nothing")


def test_digests_are_of_values_and_not_of_their_order() -> None:
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    assert digest({"a": 1}, spaced=True) == hashlib.sha256(b'{"a": 1}').hexdigest()
    assert digest([1], [b"x", b"y"]) == sha256_of(b"[1]xy")
    with pytest.raises(TypeError):
        digest({"a": np.float32(1)})


def test_the_fingerprints_that_devices_hold_are_made_as_before() -> None:
    """States of earlier versions hold them: sorted keys, a space after commas and colons, then the arrays' bytes."""
    rows = np.array([3, 1, 2], "<i4")
    before = hashlib.sha256(json.dumps([2, {"b": 1, "a": 0.5}], sort_keys=True).encode())
    before.update(rows.tobytes())
    assert digest([2, {"b": 1, "a": 0.5}], [rows.tobytes()], spaced=True) == before.hexdigest()
