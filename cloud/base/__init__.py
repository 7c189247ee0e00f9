# SPDX-License-Identifier: Apache-2.0
"""What every part of the cloud rests on: runs and stages, processes, progress, arrays."""
