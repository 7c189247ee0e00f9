"""The item table of the exported file: quantised, packed, lean."""
