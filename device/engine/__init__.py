# SPDX-License-Identifier: Apache-2.0
"""A model file in a runtime: opened, called, probed. Knows nothing of users, states and bundles."""
