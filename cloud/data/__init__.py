# SPDX-License-Identifier: Apache-2.0
"""Interaction logs: reading, splitting, and the arrays that every later stage uses."""
