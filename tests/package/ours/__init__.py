# SPDX-License-Identifier: Apache-2.0
"""A package that adds a line to every seam of PocketRec."""
