# SPDX-License-Identifier: Apache-2.0
"""Transfer to users whom a task has not seen: one pretrained backbone, and for each task a head and a small patch
(PeterRec; Yuan et al., SIGIR 2020). docs/transfer.md says what the original does and where this differs."""
