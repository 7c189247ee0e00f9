# SPDX-License-Identifier: Apache-2.0
"""Writing and releasing a bundle. Needs numpy and `device` only, so that device tests run without TensorFlow."""
