"""The device's subcommands; each module ends with its table of commands."""
