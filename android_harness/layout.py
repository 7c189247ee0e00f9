# SPDX-License-Identifier: Apache-2.0
"""Run the app's screens on a JVM and draw them: ``python android_harness/layout.py --bundle BUNDLE.zip --out FOLDER``.

Robolectric brings Android 15's own classes and its renderer; the model runs in LiteRT through desktop's binding, in
TensorFlow Lite's place. Afterwards FOLDER/screens has a PNG of each screen. Needs what apk.py needs, less its packing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zipfile
from pathlib import Path

from apk import APP, HERE, BuildError, compile_java, java_files, manifest, need, run

LAYOUT = HERE / "layout"
TESTS = tuple(f"pocketrec.app.{name}Test" for name in ("Layout", "OnJvm", "AndroidStore", "Jobs", "Accessibility"))


def main() -> int:
    """Entry point; exit status 2 and one line for what the user can correct, 1 where a test fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the .zip of a bundle")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--litert", type=Path, required=True, help="a Python environment with ai-edge-litert")
    arguments = parser.parse_args()
    try:
        print(draw(arguments.out, arguments.bundle, arguments.litert))
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(out: Path, bundle: Path, litert: Path) -> str:
    """Compile, run the tests, and give what they say and which pictures there are."""
    need("aapt", "install it (on Debian: apt-get install aapt)")
    out.mkdir(parents=True, exist_ok=True)
    classes, libraries = compile_java(out)
    fetched = out / "layout-libraries"
    run(["mvn", "-q", "-B", "-N", "-f", str(LAYOUT / "pom.xml"), "dependency:copy-dependencies",
         f"-DoutputDirectory={fetched.resolve()}", f"-Dbuild.root={out.resolve()}"],
        "see whether Maven Central can be reached")  # fmt: skip
    for archive in fetched.glob("*.aar"):
        with zipfile.ZipFile(archive) as opened:
            archive.with_suffix(".jar").write_bytes(opened.read("classes.jar"))
    (framework,) = fetched.glob("android-all-instrumented-*.jar")
    (android,) = libraries.glob("android-all-*.jar")
    jars = [jar for jar in sorted(fetched.glob("*.jar")) if jar != framework]
    jars += sorted(libraries.glob("tensorflow-lite*.jar"))
    tests, screens = out / "layout-classes", out / "screens"
    for folder in (tests, screens, out / "assets"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    shutil.copyfile(bundle, out / "assets" / "bundle.zip")
    resources = out / "resources.ap_"
    run(["aapt", "package", "-f", "-M", str(manifest(out)), "-S", str(APP / "src/main/res"), "-A", str(out / "assets"),
         "-0", "zip", "-I", str(android), "-F", str(resources)], "correct the resources")  # fmt: skip
    settings = tests / "com/android/tools/test_config.properties"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f"android_resource_apk={resources.resolve()}\nandroid_merged_assets={(out / 'assets').resolve()}\n"
        f"android_merged_manifest={manifest(out).resolve()}\nandroid_custom_package=pocketrec.app\n"
    )
    path = ":".join(str(part) for part in (tests, classes, *jars, android))
    folders = (HERE / "desktop/src/main/java", APP / "src/androidTest/java", LAYOUT / "src/test/java")
    sources = [source for folder in folders for source in java_files(folder)]
    run(["javac", "--release", "8", "-nowarn", "-cp", path, "-d", str(tests), *map(str, sources)],
        "correct the sources")  # fmt: skip
    (fetched / "offline").mkdir(exist_ok=True)
    shutil.copyfile(framework, fetched / "offline" / framework.name)
    said = run(
        ["java", "-Xmx2g", "-cp", path, "-Drobolectric.offline=true", "-Drobolectric.enabledSdks=35",
         f"-Drobolectric.dependency.dir={(fetched / 'offline').resolve()}", f"-Dpocketrec.litert={litert.resolve()}",
         f"-Dpocketrec.bundle={bundle.resolve()}", f"-Dpocketrec.screens={screens.resolve()}",
         "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
         "org.junit.runner.JUnitCore", *TESTS], "see the failures below")  # fmt: skip
    pictures = sorted(path.name for path in screens.glob("*.png"))
    ending = [line for line in said.splitlines() if line.startswith("OK")]
    return "\n".join([*ending, f"{screens}: {', '.join(pictures)}"])


if __name__ == "__main__":
    sys.exit(main())
