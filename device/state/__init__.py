# SPDX-License-Identifier: Apache-2.0
"""The personal state: its value, what a stopped training was about, its file, its history."""
