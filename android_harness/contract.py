# SPDX-License-Identifier: Apache-2.0
"""Write core's Contract.java from device/contract/names.py: ``python android_harness/contract.py``.

The names of signatures, tensors and files are defined once, in Python. A test checks that the Java file is current.
"""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "device" / "contract" / "names.py"
TARGET = Path(__file__).parent / "core/src/main/java/pocketrec/core/Contract.java"

_HEAD = """\
// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * What the cloud, the exporter and every device runner agree on: names, formats, and nothing else.
 *
 * <p>Written by android_harness/contract.py from device/contract/names.py; do not edit.
 */
public final class Contract {
"""
_CONSTANT = re.compile(r'^(?P<name>[A-Z_]+): Final = (?P<value>"[^"]*"|\d+)(?:  # (?P<comment>.*))?$')
_SIGNATURES = re.compile(r"^SIGNATURES: Final = \((?P<names>[A-Z_, ]+)\)$", re.MULTILINE)


def java(source: str) -> str:
    """Contract.java for the text of device/contract/names.py."""
    lines = [_HEAD]
    comment = ""
    for line in source.splitlines():
        if line.startswith("#: "):
            comment = line[3:]
        elif found := _CONSTANT.match(line):
            text = found["comment"] or comment
            kind = "String" if found["value"].startswith('"') else "int"
            if text:
                lines.append(f"    /** {text.rstrip('.').replace('<', '&lt;')}. */\n")
            lines.append(f"    public static final {kind} {found['name']} = {found['value']};\n\n")
            comment = ""
    signatures = _SIGNATURES.search(source)
    if signatures is None:
        raise SystemExit(f"error: {SOURCE} has no SIGNATURES: correct android_harness/contract.py")
    lines.append(f"    static final String[] SIGNATURES = {{\n        {signatures['names']}\n    }};\n")
    lines.append("\n    private Contract() {}\n}\n")
    return "".join(lines)


if __name__ == "__main__":
    TARGET.write_text(java(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
