# SPDX-License-Identifier: Apache-2.0
"""The contribution file: gradients of the shared model on a device, for federated training."""
