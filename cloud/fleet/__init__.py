# SPDX-License-Identifier: Apache-2.0
"""Many users' devices, simulated through the device's own code."""
