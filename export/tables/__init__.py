# SPDX-License-Identifier: Apache-2.0
"""The item table of the exported file: quantised, packed, lean."""
