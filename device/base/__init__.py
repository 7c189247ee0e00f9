"""What everything on the device rests on: errors, files, checked fields, arrays, the machine.

Imports no other folder.
"""
