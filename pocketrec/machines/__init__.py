"""Other machines, and this one: Android over adb, boards over ssh, what works here."""
