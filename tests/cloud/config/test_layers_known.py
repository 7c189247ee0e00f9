# SPDX-License-Identifier: Apache-2.0
"""A backbone that could be trained and not exported is refused when the configuration is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketrec.cloud.config.layers import LAYERS, check_layers
from pocketrec.cloud.config.load import config_from_dict, load_config
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import LayerSpec, dense_spec

MODULE = """
from pocketrec.device.base.choices import Choice
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec

class Backbone:
    def layers(self, config):
        size = config.embedding
        inner = (LayerSpec({kind!r}, "mix", (), size, size),)
        return LayerSpec("residual", "block", (), size, size, {{}}, inner), dense_spec("fc", size, size, HEAD)

BACKBONE = Choice("{name}:Backbone", "a backbone of a package")
"""


def package(folder: Path, name: str, kind: str) -> None:
    """An installed package with one backbone, whose block has a layer of this kind."""
    (folder / f"{name}.py").write_text(MODULE.format(kind=kind, name=name), encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[pocketrec.backbones]\n{name} = {name}:BACKBONE\n", encoding="utf-8")


def test_a_layer_that_the_exporter_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "wavelets", "wavelet")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text('[model]\nbackbone = "wavelets"\n', encoding="utf-8")
    message = "backbone 'wavelets' has a layer 'mix' of kind 'wavelet', which the exporter does not know"
    with pytest.raises(ConfigError, match=message):
        load_config(file)
    assert load_config(file, ["model.tied=false"]).model.backbone == "wavelets", "there is no export"


def test_layers_that_the_exporter_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "stacked", "stack")
    monkeypatch.syspath_prepend(tmp_path)
    assert config_from_dict({"model": {"backbone": "stacked"}}).model.backbone == "stacked"
    with pytest.raises(ConfigError, match=r"backbone 'wavelets' is not one of gru, .*\bstacked"):
        config_from_dict({"model": {"backbone": "wavelets"}})


def test_the_message_lists_the_known_kinds() -> None:
    with pytest.raises(ConfigError, match=f"the known kinds are {', '.join(LAYERS)}"):
        check_layers([dense_spec("fc", 2, 2), LayerSpec("scan", "s")], "b")
