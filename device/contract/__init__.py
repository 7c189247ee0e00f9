"""What cloud, exporter and every runner agree on: names, manifest, recipe, formats of the files.

Imports `base` alone.
"""
