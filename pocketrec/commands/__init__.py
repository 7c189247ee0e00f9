# SPDX-License-Identifier: Apache-2.0
"""The subcommands; each module ends with its table of commands."""
