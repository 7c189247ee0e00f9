# SPDX-License-Identifier: Apache-2.0
"""Kinds of split, a file each: which events the cloud sees. Each has a function ``early``.

``early(log, split)`` gives bool (n,), whether the cloud sees each event, and the cut-off, where there is one for all.
"""
