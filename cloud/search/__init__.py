# SPDX-License-Identifier: Apache-2.0
"""Random search over configurations, judged before the cut-off."""
