# SPDX-License-Identifier: Apache-2.0
"""What everything on the device rests on: errors, files, checked fields, arrays, the machine.

Imports no other folder.
"""
