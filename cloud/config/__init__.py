# SPDX-License-Identifier: Apache-2.0
"""The configuration of a run: a module for each table of the TOML file."""
