# SPDX-License-Identifier: Apache-2.0
"""PFedRec (Zhang et al., Dual Personalization on Federated Recommendation, IJCAI 2023), as printed and as it should be
judged. docs/pfedrec.md says what the original does and where this differs."""
