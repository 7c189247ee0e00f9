# SPDX-License-Identifier: Apache-2.0
"""Write core's RecipeFields.java from device/contract/recipe.py: ``python android_harness/recipe_fields.py``.

What the fields of recipe.json take, their bounds and what they are where they are absent stand once, in Python's
annotations. A test checks that the Java file is current.
"""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pocketrec.device.base.fields import Above, AtLeast, AtMost, Below, hints_of
from pocketrec.device.contract.recipe import FORMAT, GuardRecipe, Line, Prior, Recipe, Signal
from pocketrec.device.contract.repeats import Repeats

TARGET: Final = Path(__file__).parent / "core/src/main/java/pocketrec/core/RecipeFields.java"
#: Each table of recipe.json, with where it stands.
_TABLES: Final = {
    Recipe: "The file itself.", Repeats: "Its table repeats.", GuardRecipe: "Its table guard.",
    Prior: "Each table in guard.prior.", Signal: "Tables loglik and rr of a prior.",
    Line: "Table gain of a prior, and expected of a signal.",
}  # fmt: skip
#: Fields that Java does not know: it refuses a recipe that has them, and Python writes them only where they are on.
_PYTHON_ALONE: Final = frozenset(("item_rows",))
_RULES: Final = {Above: "above", AtLeast: "atLeast", Below: "below", AtMost: "atMost"}
_HEAD: Final = """\
// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * The fields of recipe.json: what each takes, and what it is where it is absent.
 *
 * <p>Written by android_harness/recipe_fields.py from device/contract/recipe.py; do not edit.
 */
final class RecipeFields {
"""


def java() -> str:
    """RecipeFields.java for the current dataclasses."""
    parts = [_HEAD]
    for cls, place in _TABLES.items():
        name = cls.__name__.removesuffix("Recipe").upper() or "RECIPE"
        lines = [f'Field.whole("format", {FORMAT})'] if cls is Recipe else []
        lines += [_line(field, hints_of(cls)[field.name]) for field in dataclasses.fields(cls)
                  if field.name not in _PYTHON_ALONE]  # fmt: skip
        body = "".join(f"        {line},\n" for line in lines)
        if cls is Recipe:
            parts.append(f"    /** Format of the file. */\n    static final Long FORMAT = {FORMAT}L;\n\n")
        parts.append(f"    /** {place} */\n    static final Field[] {name} = {{\n{body}    }};\n\n")
    parts.append("    private RecipeFields() {}\n}\n")
    return "".join(parts)


def _line(field: dataclasses.Field[Any], hint: Any) -> str:
    """The Java expression of one field."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    rules = inside[1:] if origin is Annotated else ()
    plain = inside[0] if origin is Annotated else hint
    otherwise = field.default
    if plain is bool:
        made = f'Field.flag("{field.name}", {str(otherwise).lower()})'
    elif plain is int:
        made = f'Field.whole("{field.name}", {otherwise})'
    elif plain is float:
        made = f'Field.number("{field.name}", {float(typing.cast(float, otherwise))})'
    elif plain is str or origin is Literal:
        made = f'Field.text("{field.name}", "{otherwise}")'
        if origin is Literal:
            made += f".oneOf({', '.join(f'{chr(34)}{known}{chr(34)}' for known in inside)})"
    elif plain in _TABLES or origin is dict:
        made = f'Field.table("{field.name}")'
    else:
        raise SystemExit(f"error: {field.name} is of a type that Java does not know: extend {__file__}")
    return made + "".join(f".{_RULES[type(rule)]}({rule.limit:g})" for rule in rules)


if __name__ == "__main__":
    TARGET.write_text(java(), encoding="utf-8")
