# SPDX-License-Identifier: Apache-2.0
"""The line for devices, in a file that needs nothing of the cloud's."""

from pocketrec.device.base.choices import Choice

COSINE = Choice("ours.cosine:cosine", "cosine of user and item embedding, times ten")
