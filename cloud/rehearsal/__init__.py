# SPDX-License-Identifier: Apache-2.0
"""Which recipe devices should follow, found out before the cut-off."""
