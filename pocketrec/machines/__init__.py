# SPDX-License-Identifier: Apache-2.0
"""Other machines, and this one: Android over adb, boards over ssh, what works here."""
