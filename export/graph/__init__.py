# SPDX-License-Identifier: Apache-2.0
"""The exported graph: its signatures, what is trained, the optimisers."""
