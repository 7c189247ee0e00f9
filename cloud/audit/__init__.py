# SPDX-License-Identifier: Apache-2.0
"""`pocketrec audit`: leaks and other faults of an evaluation, found by counting (feature N4).

A check is one function and one line of the table in `pocketrec.cloud.audit.table`. All checks read one `Case`: the
parts of a split and what was made of them, as pandas frames, whoever made them. Nothing here is taken from the code
that splits logs or trains models, so that a fault there is not repeated here.
"""
