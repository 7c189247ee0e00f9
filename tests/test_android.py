"""What the Java harness takes over from Python; its own tests are run by `make test-android`."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

HARNESS = Path(__file__).parents[1] / "android_harness"


def test_names_in_java_are_those_of_the_contract() -> None:
    spec = importlib.util.spec_from_file_location("contract_writer", HARNESS / "contract.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    written = writer.TARGET.read_text(encoding="utf-8")
    assert written == writer.java(writer.SOURCE.read_text(encoding="utf-8")), "run python android_harness/contract.py"
    assert 'TRAIN = "train"' in written
    assert "TRAIN, EVALUATE, EMBED, INFER, LOOKUP, EXPORT_WEIGHTS, IMPORT_WEIGHTS" in written


def test_example_in_the_documentation_is_the_one_that_is_run() -> None:
    test = (HARNESS / "desktop/src/test/java/pocketrec/desktop/ExampleTest.java").read_text(encoding="utf-8")
    example = textwrap.dedent(test.split("    // example begins\n")[1].split("    // example ends")[0]).strip()
    documentation = (HARNESS.parent / "docs" / "android.md").read_text(encoding="utf-8")
    assert f"```java\n{example}\n```" in documentation
