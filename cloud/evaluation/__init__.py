"""From ranks to figures: scoring, full ranking of every system, metrics.json."""
