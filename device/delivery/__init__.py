# SPDX-License-Identifier: Apache-2.0
"""How a bundle comes to a device and is opened: fetching, versions, signatures, installation."""
