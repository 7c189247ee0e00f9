# SPDX-License-Identifier: Apache-2.0
"""The event store: one user's events in a file, their reading, repair, export and sealing."""
