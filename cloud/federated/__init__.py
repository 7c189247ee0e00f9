# SPDX-License-Identifier: Apache-2.0
"""Federated training: rounds over devices that improve the bundle's model, and PFedRec (`pfedrec`)."""
