# SPDX-License-Identifier: Apache-2.0
"""What cloud, exporter and every runner agree on: names, manifest, recipe, formats of the files.

Imports `base` alone.
"""
