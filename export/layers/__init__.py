# SPDX-License-Identifier: Apache-2.0
"""Layers of the exported graph: a hand-written forward and backward pass of each kind.

A new kind is one file with a class that follows `pocketrec.export.layers.layer.DeviceLayer`, one line in `LAYERS`
(`pocketrec.cloud.config.layers`) and one subclass of `LayerContract` in the tests.
"""
