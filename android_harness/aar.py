# SPDX-License-Identifier: Apache-2.0
"""Build the modules as a Maven repository in a folder: ``python android_harness/aar.py --out FOLDER --maven FOLDER``.

core, store, pull and kotlin are .jar files, runtime and jobs are .aar; each has sources, javadoc, a POM, SHA-1 sums,
and rules for R8; an .aar has its classes as a .jar beside it, for builds by Maven. An application names
``maven { url = uri("build/maven") }`` beside Maven Central, and one dependency: ``GROUP:runtime:VERSION``, and
``GROUP:pull:VERSION`` where it fetches bundles itself. What is built is read back: sizes, permissions, and how
TensorFlow Lite's libraries lie in its .aar, which comes from Maven Central as it is. The Java example of
docs/android.md is compiled outside the sources against the folder alone, and the project in android_harness/example is
built there. Needs a JDK and Maven.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import binaries
from apk import HERE, MIN_API, MODULES, VERSION, BuildError, compile_java, java_files, run

GROUP = "io.github.pocketrec"
#: What each module needs, of ours and of others.
NEEDS = {
    "core": (), "store": ("core",), "pull": ("core",), "runtime": ("core", "store"), "jobs": ("core",),
    "kotlin": ("core", "pull"),
}  # fmt: skip
AARS = ("runtime", "jobs")
OTHERS = {
    "runtime": [("org.tensorflow", name, "2.16.1", "aar")  # as app/pom.xml names them
                for name in ("tensorflow-lite", "tensorflow-lite-api")],
    "kotlin": [("org.jetbrains.kotlin", "kotlin-stdlib", "2.0.21", "jar"),  # as pom.xml names them
               ("org.jetbrains.kotlinx", "kotlinx-coroutines-core-jvm", "1.9.0", "jar")],
}  # fmt: skip
# TensorFlow Lite's own POM names its -api as a .jar, which there is none of: Maven would look for it.
_NOT_AS_JAR = ("<exclusions><exclusion><groupId>org.tensorflow</groupId><artifactId>tensorflow-lite-api</artifactId>"
               "</exclusion></exclusions>")  # fmt: skip
_RULES = "# Nothing of PocketRec's is looked up by name: R8 may remove and rename as it likes.\n"
_DATE = (1980, 1, 1, 0, 0, 0)  # equal sources give equal files


def main() -> int:
    """Entry point; exit status 2 and one line for what the user can correct."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for classes and fetched libraries")
    parser.add_argument("--maven", type=Path, required=True, help="folder of the Maven repository")
    arguments = parser.parse_args()
    try:
        classes, libraries = compile_java(arguments.out)
        for module in MODULES:
            publish(module, classes, libraries, arguments.maven)
        publish("kotlin", compile_kotlin(arguments.out), libraries, arguments.maven)
        compile_outside(arguments.maven, libraries)
        build_outside(arguments.maven)
        print(describe(arguments.maven, libraries))
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def compile_kotlin(out: Path) -> Path:
    """Let Maven compile the Kotlin module; gives its folder of classes."""
    root = (out / "kotlin").resolve()
    run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "-pl", "kotlin", "-am", f"-Dbuild.root={root}",
         "-Dmaven.test.skip=true", "package"],
        "correct the sources, or see whether Maven Central can be reached")  # fmt: skip
    return root / "target/kotlin/classes"


def publish(module: str, classes: Path, libraries: Path, maven: Path) -> None:
    """Write the files of one module into the repository."""
    folder = maven / GROUP.replace(".", "/") / module / VERSION
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    name = f"{module}-{VERSION}"
    sources = HERE / module / "src/main" / ("kotlin" if module == "kotlin" else "java")
    inside = {str(path.relative_to(classes)): path.read_bytes()
              for path in (*sorted((classes / "pocketrec" / module).rglob("*.class")),
                           *sorted(classes.glob("META-INF/*.kotlin_module")))}  # fmt: skip
    if module in AARS:
        manifest = ('<manifest xmlns:android="http://schemas.android.com/apk/res/android" '
                    f'package="pocketrec.{module}">'
                    f'<uses-sdk android:minSdkVersion="{MIN_API}" /></manifest>\n')  # fmt: skip
        aar = {"AndroidManifest.xml": manifest.encode(), "classes.jar": packed(inside), "R.txt": b"",
               "proguard.txt": _RULES.encode()}  # fmt: skip
        (folder / f"{name}.aar").write_bytes(packed(aar))
        (folder / f"{name}-classes.jar").write_bytes(packed(inside))
    else:
        rules = {f"META-INF/proguard/pocketrec-{module}.pro": _RULES.encode()}
        (folder / f"{name}.jar").write_bytes(packed({**inside, **rules}))
    files = {str(path.relative_to(sources)): path.read_bytes() for path in _files(sources.rglob("*.*"))}
    (folder / f"{name}-sources.jar").write_bytes(packed(files))
    pages = kotlin_pages(classes) if module == "kotlin" else java_pages(sources, classes, libraries)
    (folder / f"{name}-javadoc.jar").write_bytes(packed(pages))
    (folder / f"{name}.pom").write_text(pom(module), encoding="utf-8")
    for path in _files(folder.iterdir()):
        path.with_name(f"{path.name}.sha1").write_text(hashlib.sha1(path.read_bytes()).hexdigest())  # as Maven wants it


def java_pages(sources: Path, classes: Path, libraries: Path) -> dict[str, bytes]:
    """Pages of javadoc, by name."""
    with tempfile.TemporaryDirectory() as made:
        path = ":".join(str(jar) for jar in (classes, *sorted(libraries.glob("*.jar"))))
        words = ["-quiet", "-Xdoclint:none", "-notimestamp", "--release", "8", "-public", "-cp", path, "-d", made]
        run(["javadoc", *words, *map(str, java_files(sources))], "correct the comments")
        return {str(page.relative_to(made)): page.read_bytes() for page in _files(Path(made).rglob("*"))}


def kotlin_pages(classes: Path) -> dict[str, bytes]:
    """One page with what is public, as Java sees it: javadoc reads no Kotlin, and the comments are in the sources."""
    public = [str(path) for path in sorted(classes.rglob("*.class"))]
    listed = html.escape(run(["javap", "-public", *public], "compile again"))
    return {"index.html": f"<title>PocketRec: kotlin</title><pre>{listed}</pre>\n".encode()}


def packed(files: dict[str, bytes]) -> bytes:
    """A .zip of some contents."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return content.getvalue()


def pom(module: str) -> str:
    """The module's POM."""
    needs = [*((GROUP, need, VERSION, "jar") for need in NEEDS[module]), *OTHERS.get(module, [])]
    listed = "".join(
        f"    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        f"<type>{kind}</type><scope>compile</scope>{_NOT_AS_JAR * (kind == 'aar')}</dependency>\n"
        for group, name, version, kind in needs
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<project xmlns="http://maven.apache.org/POM/4.0.0">\n'
        f"  <modelVersion>4.0.0</modelVersion>\n  <groupId>{GROUP}</groupId>\n  <artifactId>{module}</artifactId>\n"
        f"  <version>{VERSION}</version>\n  <packaging>{'aar' if module in AARS else 'jar'}</packaging>\n"
        f"  <name>PocketRec: {module}</name>\n"
        "  <licenses><license><name>Apache-2.0</name></license></licenses>\n"
        f"  <dependencies>\n{listed}  </dependencies>\n</project>\n"
    )


def compile_outside(maven: Path, libraries: Path) -> None:
    """Compile the documentation's example in an empty folder against the repository's files."""
    (android,) = libraries.glob("android-all-*.jar")
    with tempfile.TemporaryDirectory() as outside:
        folder = Path(outside)
        path = [str(jar) for jar in maven.resolve().rglob(f"*-{VERSION}.jar")]
        for module in AARS:
            (aar,) = maven.rglob(f"{module}-{VERSION}.aar")
            with zipfile.ZipFile(aar) as opened:
                (folder / f"{module}.jar").write_bytes(opened.read("classes.jar"))
            path.append(f"{folder}/{module}.jar")
        example = (HERE.parent / "docs" / "android.md").read_text(encoding="utf-8").split("```java\nstatic ")[2]
        packages = "".join(f"import pocketrec.{module}.*; " for module in MODULES)
        call = ("static void run(File files) throws Exception { "
                'daily(files, new TfLiteRuntime(), new AndroidDatabases(), "https://h/x"); }')  # fmt: skip
        (folder / "Example.java").write_text(
            f"import java.io.*; import java.util.*; {packages}\n"
            f"public class Example {{ static {example.split('```')[0]} {call} }}\n"
        )
        run(["javac", "--release", "8", "-Xlint:-options", "-d", outside, "-cp",
             ":".join([*path, str(android)]), str(folder / "Example.java")],
            "correct the example or the modules")  # fmt: skip


def build_outside(maven: Path) -> None:
    """Build a copy of the example project in an empty folder, with the repository and Maven Central only."""
    # What Maven has kept of an earlier build of the same version would be taken in the repository's place.
    shutil.rmtree(Path.home() / ".m2/repository" / GROUP.replace(".", "/"), ignore_errors=True)
    with tempfile.TemporaryDirectory() as outside:
        project = shutil.copytree(HERE / "example", Path(outside) / "shelf")
        url = maven.resolve().as_uri()
        run(["mvn", "-q", "-B", "-f", str(project / "pom.xml"), f"-Dpocketrec.maven={url}", "compile"],
            "correct the example or the modules, or see whether Maven Central can be reached")  # fmt: skip
        if not list(project.glob("target/classes/example/Shelf.class")):
            raise BuildError("the example project gives no class: see android_harness/example/pom.xml")


def describe(maven: Path, libraries: Path) -> str:
    """What was made, read back from it."""
    files = [path for path in _files(maven.rglob("*")) if path.suffix != ".sha1"]
    lines = [f"{path.relative_to(maven)}: {path.stat().st_size:,} bytes" for path in files]
    for path in files:
        if path.suffix == ".aar":
            with zipfile.ZipFile(path) as opened:
                asked = opened.read("AndroidManifest.xml").decode().count("uses-permission")
            lines.append(f"{path.name}: {asked} permissions, from API {MIN_API} on")
    for path in sorted(libraries.glob("tensorflow-lite-[0-9]*.aar")):
        lines += binaries.libraries_of(path)
    lines.append("outside, against this folder alone: the Java example compiles; the Kotlin project builds")
    return "\n".join(lines)


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
