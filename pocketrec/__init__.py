# SPDX-License-Identifier: Apache-2.0
"""PocketRec: recommendation trained in the cloud and made personal on the device.

This package body stays almost empty on purpose: `pocketrec.device` is imported on small boards and must not
pull in anything through its parent.
"""

__version__ = "0.1.0"
