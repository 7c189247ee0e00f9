"""What every evaluation compares with: popularity, recent items, item-kNN."""
