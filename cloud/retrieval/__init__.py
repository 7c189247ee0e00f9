# SPDX-License-Identifier: Apache-2.0
"""`pocketrec retrieval`: what the first stage keeps of the second's exhaustive order, and lists at the cut-off."""
