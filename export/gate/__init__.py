# SPDX-License-Identifier: Apache-2.0
"""The gate: an exported file must behave as the Keras model does, on every runtime."""
