"""Which recipe devices should follow, found out before the cut-off."""
