"""What the Java harness takes over from Python; its own tests are run by `make test-android`."""

from __future__ import annotations

import importlib.util
import re
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType

HARNESS = Path(__file__).parents[2] / "android_harness"


def _script(name: str) -> ModuleType:
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
    assert set(re.findall(r'"([a-z-]+)" -> implementation', gradle)) == {apk.RUNTIME, "litert"}
    assert "return BuildConfig.RUNTIME;" in (HARNESS / "app/src/main/java/pocketrec/app/TfLiteRuntime.java").read_text()


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


def test_example_in_the_documentation_is_the_one_that_is_run() -> None:
    test = (HARNESS / "desktop/src/test/java/pocketrec/desktop/ExampleTest.java").read_text(encoding="utf-8")
    example = textwrap.dedent(test.split("    // example begins\n")[1].split("    // example ends")[0]).strip()
    documentation = (HARNESS.parent / "docs" / "android.md").read_text(encoding="utf-8")
    assert f"```java\n{example}\n```" in documentation
