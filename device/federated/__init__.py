# SPDX-License-Identifier: Apache-2.0
"""Federated training on the device: all that may leave it is one type, `contribution.Contribution`."""
