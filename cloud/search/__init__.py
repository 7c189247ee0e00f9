"""Random search over configurations, judged before the cut-off."""
