"""Commands of ``pocketrec``, a file each."""
