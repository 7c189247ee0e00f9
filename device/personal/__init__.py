# SPDX-License-Identifier: Apache-2.0
"""Making a model personal in memory: windows, training, the guard, what is served. Knows no files."""
