# SPDX-License-Identifier: Apache-2.0
"""Measures of ranking quality, full and sampled."""
