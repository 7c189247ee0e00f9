# SPDX-License-Identifier: Apache-2.0
"""A bundle that federated training made names the model that it was made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.manifest import Manifest


def test_a_manifest_names_its_parent_only_where_it_has_one(folder: Path) -> None:
    content = (folder / "manifest.json").read_bytes()
    manifest = Manifest.from_bytes(content, "here")
    assert manifest.parent == ""
    assert b"parent" not in content
    named = dataclasses.replace(manifest, parent=manifest.model_id).to_bytes()
    assert Manifest.from_bytes(named, "here").parent == manifest.model_id
    table = json.loads(content)
    for wrong in (None, 3, "abc", manifest.model_id.upper() + "0"):
        with pytest.raises(BundleError, match="parent must be"):
            Manifest.from_bytes(json.dumps({**table, "parent": wrong}).encode(), "here")
