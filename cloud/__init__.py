# SPDX-License-Identifier: Apache-2.0
"""The cloud side: data, training, candidates, rehearsal and evaluation."""
