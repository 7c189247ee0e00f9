# SPDX-License-Identifier: Apache-2.0
"""The one alias for numpy arrays; docstrings say shape and dtype."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
