# SPDX-License-Identifier: Apache-2.0
"""Matrix products in the form that device runtimes are quick at.

The converter makes FULLY_CONNECTED of a product whose right side is written as transposed, and BATCH_MATMUL of others.
With weights that change at run time both runtimes compute FULLY_CONNECTED by Eigen's four-wide kernel (32 to 35
GFLOP/s on an AVX-512 core) and BATCH_MATMUL without transposition by XNNPACK or ruy (around 100 GFLOP/s); and
FULLY_CONNECTED ends the part of the graph that XNNPACK runs in one go. Where the weights are constants,
FULLY_CONNECTED is as quick. This module knows nothing about models.
"""

from __future__ import annotations

import tensorflow as tf


def transposed(matrix: tf.Tensor) -> tf.Tensor:
    """The transpose (m, n) of a matrix (n, m), in a form that the converter does not fold into a product."""
    rows, columns = matrix.shape
    return tf.reshape(tf.transpose(tf.reshape(matrix, [rows, columns, 1]), [1, 0, 2]), [columns, rows])


def turned(matrix: tf.Tensor, padding: tf.Tensor, trained: bool) -> tf.Tensor:
    """The transpose (m, n) of a kernel (n, m) for the backward product, in the form that suits it.

    Args:
        matrix: the kernel.
        padding: of the call.
        trained: whether the kernel is a variable; else it is a constant.
    """
    return transposed(matrix) if trained else frozen_transposed(matrix, padding)


def frozen_transposed(matrix: tf.Tensor, padding: tf.Tensor) -> tf.Tensor:
    """The transpose (m, n) of a constant (n, m), of which the file holds one copy.

    A product with the constant itself becomes FULLY_CONNECTED, whose weights are the transposed constant; a product
    with its transpose would want a second copy, the other way round. Here a zero that the converter does not know to be
    one is added to the transposed constant: what is in the file stays what the first product has.

    Args:
        matrix: a constant.
        padding: of the call: zeros and ones.
    """
    return tf.transpose(matrix) + tf.minimum(padding[0, 0], 0.0)
