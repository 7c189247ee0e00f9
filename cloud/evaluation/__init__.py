# SPDX-License-Identifier: Apache-2.0
"""From ranks to figures: scoring, full ranking of every system, metrics.json."""
