"""Subcommands of ``pocketrec``, a file each: its arguments and its work. Nothing heavy is imported at the top."""
