# SPDX-License-Identifier: Apache-2.0
"""The device's subcommands; each module ends with its table of commands."""
