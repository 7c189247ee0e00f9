# SPDX-License-Identifier: Apache-2.0
"""Latency and memory of a bundle on this machine, and the form of the result."""
