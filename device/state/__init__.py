"""The personal state: its value, what a stopped training was about, its file, its history."""
