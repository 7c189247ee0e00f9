# SPDX-License-Identifier: Apache-2.0
"""Rankers in the exported graph: how a user embedding and item embeddings become scores, with gradients.

A new one is a file with a class that follows `pocketrec.export.rankers.ranker.GraphRanker`, named in its line of
`pocketrec.cloud.config.ranker.RANKERS`, and a subclass of `RankerContract` in the tests.
"""
