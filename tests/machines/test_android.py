# SPDX-License-Identifier: Apache-2.0
"""What the Java harness takes over from Python; its own tests are run by `make test-android`."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

HARNESS = Path(__file__).parents[2] / "android_harness"


def _script(name: str) -> ModuleType:
    if str(HARNESS) not in sys.path:  # its scripts import each other
        sys.path.append(str(HARNESS))
    spec = importlib.util.spec_from_file_location(name, HARNESS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gradle_and_maven_name_the_same_versions(tmp_path: Path) -> None:
    catalogue = tomllib.loads((HARNESS / "gradle" / "libs.versions.toml").read_text(encoding="utf-8"))
    versions, poms = catalogue["versions"], " ".join(path.read_text() for path in HARNESS.rglob("pom.xml"))
    for name in ("tensorflow-lite", "junit-jupiter"):
        assert set(re.findall(rf"<artifactId>{name}</artifactId>\s*<version>(.*?)</version>", poms)) == {versions[name]}
    assert set(re.findall(r"<kotlin.version>(.*?)</kotlin.version>", poms)) == {versions["kotlin"]}
    assert re.findall(r"kotlinx-coroutines-core-jvm</artifactId>\s*<version>(.*?)</version>", poms) == [
        versions["coroutines"]
    ]
    used = {entry["version"]["ref"] for kind in ("libraries", "plugins") for entry in catalogue[kind].values()}
    assert used | {"minSdk", "targetSdk", "app"} == set(versions)
    scripts = " ".join(path.read_text() for path in HARNESS.rglob("*.gradle.kts"))
    named = {match.replace(".", "-") for match in re.findall(r"\(libs\.((?!versions|plugins)[a-z0-9.]+)\)", scripts)}
    assert named == set(catalogue["libraries"])
    apk = _script("apk")
    assert (str(apk.MIN_API), str(apk.TARGET_API), apk.VERSION) == tuple(
        versions[name] for name in ("minSdk", "targetSdk", "app")
    )
    manifest = apk.manifest(tmp_path).read_text()
    assert 'package="pocketrec.app"' in manifest
    assert "<uses-permission" not in manifest
    assert 'android:allowBackup="false"' in manifest


def test_both_builds_say_which_runtime_they_pack(tmp_path: Path) -> None:
    apk, gradle = _script("apk"), (HARNESS / "app" / "build.gradle.kts").read_text(encoding="utf-8")
    assert f"<artifactId>{apk.RUNTIME}</artifactId>" in (HARNESS / "app" / "pom.xml").read_text(encoding="utf-8")
    assert 'static final String RUNTIME = "tensorflow_lite";' in apk.build_config(tmp_path).read_text()
    assert r"""buildConfigField("String", "RUNTIME", "\"${runtime.replace('-', '_')}\"")""" in gradle
    library = (HARNESS / "runtime" / "build.gradle.kts").read_text(encoding="utf-8")
    assert set(re.findall(r'"([a-z-]+)" -> implementation', library)) == {apk.RUNTIME, "litert"}
    application = (HARNESS / "app/src/main/java/pocketrec/app/HarnessApplication.java").read_text(encoding="utf-8")
    assert "new TfLiteRuntime(BuildConfig.RUNTIME, xnnpack)" in application


def test_the_fields_of_recipes_in_java_are_those_of_python() -> None:
    writer = _script("recipe_fields")
    written = writer.TARGET.read_text(encoding="utf-8")
    assert written == writer.java(), "run python android_harness/recipe_fields.py"
    assert 'Field.number("holdback", 0.3).above(0).below(1)' in written
    assert 'Field.text("targets", "later").oneOf("later", "all")' in written


def test_names_in_java_are_those_of_the_contract() -> None:
    writer = _script("contract")
    written = writer.TARGET.read_text(encoding="utf-8")
    assert written == writer.java(writer.SOURCE.read_text(encoding="utf-8")), "run python android_harness/contract.py"
    assert 'TRAIN = "train"' in written
    assert "TRAIN, EVALUATE, EMBED, INFER, LOOKUP, EXPORT_WEIGHTS, IMPORT_WEIGHTS" in written


def test_examples_in_the_documentation_are_those_that_are_run() -> None:
    documentation = (HARNESS.parent / "docs" / "android.md").read_text(encoding="utf-8")
    for name in ("ExampleTest", "DailyTest", "NightTest"):
        test = (HARNESS / f"desktop/src/test/java/pocketrec/desktop/{name}.java").read_text(encoding="utf-8")
        example = textwrap.dedent(test.split("    // example begins\n")[1].split("    // example ends")[0]).strip()
        assert f"```java\n{example}\n```" in documentation


def test_the_kotlin_example_is_that_of_the_documentation() -> None:
    """About thirty lines of code, which `make aar` builds outside of the sources."""
    documentation = (HARNESS.parent / "docs" / "android.md").read_text(encoding="utf-8")
    source = (HARNESS / "example/src/main/kotlin/example/Shelf.kt").read_text(encoding="utf-8")
    example = source.split("// example begins\n")[1].split("// example ends")[0].strip()
    assert f"```kotlin\n{example}\n```" in documentation
    pom, aar = (HARNESS / "example/pom.xml").read_text(encoding="utf-8"), _script("aar")
    ours = rf"<groupId>{aar.GROUP}</groupId>\s*<artifactId>(.*?)</artifactId>\s*<version>(.*?)<"
    assert set(re.findall(ours, pom)) == {(module, aar.VERSION) for module in ("kotlin", "runtime", "jobs")}
    assert "<kotlin.version>2.0.21</kotlin.version>" in pom


def test_all_texts_of_the_screens_can_be_translated() -> None:
    """No text with a blank in the activity, the chart and what they show, but messages for logs and other programs."""
    app = HARNESS / "app/src/main"
    strings = (app / "res/values/strings.xml").read_text(encoding="utf-8")
    names = set(re.findall(r'<string name="(\w+)"', strings))
    sources = {path.name: path.read_text(encoding="utf-8") for path in (app / "java/pocketrec/app").glob("*.java")}
    used = set(re.findall(r"R\.string\.(\w+)", " ".join(sources.values())))
    assert used <= names
    assert names - used == {"app_name"}, "each is shown somewhere"
    others = {"error: ", "no answer can be written: ", "cancelled on the device: start it again", "app ",
              "what was picked is gone", "bench written to ", "the shared storage is not there now"}  # fmt: skip
    for name in ("Harness.java", "HarnessActivity.java", "ChartView.java", "InstalledBundle.java"):
        texts = set(re.findall(r'"((?:[^"\\\n]|\\.)*[A-Za-z](?:[^"\\\n]|\\.)* (?:[^"\\\n]|\\.)*)"', sources[name]))
        assert {text for text in texts if "%" not in text} <= others, name


def test_archives_and_libraries_are_read_by_own_code(tmp_path: Path) -> None:
    """A .zip against the standard library's reader; an ELF file of each width, and what is neither."""
    import struct
    import zipfile

    binaries = _script("binaries")
    segments = [(1, 0x4000), (6, 8), (1, 0x1000)]
    wide = b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<Q", 64).ljust(22, b"\0") + struct.pack("<HH", 56, 3)
    wide = wide.ljust(64, b"\0") + b"".join(struct.pack("<I44xQ", *one) for one in segments)
    narrow = b"\x7fELF\x01\x01".ljust(28, b"\0") + struct.pack("<I", 52).ljust(14, b"\0") + struct.pack("<HH", 32, 3)
    narrow = narrow.ljust(52, b"\0") + b"".join(struct.pack("<I24xI", *one) for one in segments)
    for library in (wide, narrow):
        assert binaries.load_alignments(library) == [0x4000, 0x1000]
    for wrong in (b"", b"\x7fELF\x02\x02".ljust(99, b"\0"), wide[:64].ljust(300, b"\0")):
        with pytest.raises(binaries.FormatError):
            binaries.load_alignments(wrong)
    path = tmp_path / "a.aar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("jni/arm64-v8a/lib.so", wide, zipfile.ZIP_DEFLATED)
        archive.writestr("jni/x86/lib.so", narrow)
        archive.comment = b"PK here too"
    content = path.read_bytes()
    for entry in binaries.entries(content):
        assert entry.packed == len(content[entry.place : entry.place + entry.packed])
        found = content[entry.place : entry.place + entry.packed]
        assert (found == narrow) == entry.stored
        assert entry.size == len(wide if "arm64" in entry.name else narrow)
    told = binaries.libraries_of(path)
    assert "arm64-v8a/lib.so: 232 bytes, compressed, LOAD segments at 0x1000: not for pages of 16 KB" in told[0]
    assert "x86/lib.so: 148 bytes, stored at a multiple of " in told[1]
    with pytest.raises(binaries.FormatError):
        binaries.entries(content[: len(content) // 2])


def test_the_table_of_methods_in_the_documentation_is_that_of_both_sides() -> None:
    """Every public method of Python's is in it, and every one of Java's that it names is there and public."""
    from pocketrec.device.recommender import Recommender
    from pocketrec.device.store.database import EventStore
    from pocketrec.device.task import Task

    documentation = (HARNESS.parent / "docs" / "android.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Za-z_.()]+)` \| (.*) \|$", documentation.split("## Python's methods")[1], re.MULTILINE)
    table = dict(rows)
    assert len(table) == len(rows)
    for cls in (Recommender, EventStore):
        own = {name for name in dir(cls) if not name.startswith("_")}
        own |= set() if cls is Recommender else {"path", "read_only"}
        named = {name.partition(".")[2] for name in table if name.startswith(f"{cls.__name__}.")}
        assert named == own - ({"path"} if cls is EventStore else set()), cls
    of_tasks = {name.partition(".")[2] for name in table if name.startswith("Task.")}
    assert of_tasks == {name for name in (*dir(Task), "state", "outdated") if not name.startswith("_")} - {
        "name", "kind", "ids", "path",  # fields of Java's Patch, and what the application knows
    }  # fmt: skip
    sources = {path.stem: path.read_text(encoding="utf-8") for path in HARNESS.rglob("src/main/java/**/*.java")}
    for python, java in table.items():
        methods = [] if java.startswith("not there: ") else re.findall(r"`([A-Z]\w+)\.(\w+)`", java)
        assert methods or java.startswith("not there: "), python
        for cls_name, method in methods:
            parent = sources["StoreFile"] if cls_name == "EventStore" else ""
            assert re.search(rf"    public (?!class|final class)[^;=()]*\b{method}\(", sources[cls_name] + parent), java
