# SPDX-License-Identifier: Apache-2.0
"""What configurations of small whole runs have in common, so that they take seconds."""

from __future__ import annotations

from typing import Final

#: Tables split, model, train and rehearse as TOML; without braces, so that it may stand in a text for `str.format`.
SMALL: Final = """\
[split]
quantile = 0.7
[model]
embedding = 8
gru.hidden = 8
gru.layers = 1
window = 6
[train]
epochs = 2
batch = 32
validation = 0.0
[rehearse]
quantile = 0.7
users = 6
ways = ["head"]
passes = [2]
learning_rates = [0.02]
targets = ["later"]
"""
