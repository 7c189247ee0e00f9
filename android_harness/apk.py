# SPDX-License-Identifier: Apache-2.0
"""Build the Android app without Android Studio: ``python android_harness/apk.py --bundle BUNDLE.zip --out FOLDER``.

Maven fetches Android's classes, TensorFlow Lite and the dexer; javac compiles the modules and the app against them;
Debian's aapt, zipalign and apksigner make, sign and verify pocketrec.apk with the bundle inside. With --compile-only it
stops after javac, for which a JDK and Maven suffice. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import binaries

HERE = Path(__file__).resolve().parent
APP = HERE / "app"
MIN_API, TARGET_API, VERSION = 26, 34, "0.1.0"
MODULES = ("core", "store", "pull", "runtime", "jobs")  # what the app is built on, each after those that it needs
RUNTIME = "tensorflow-lite"  # what app/pom.xml names
_PACKAGES = {"aapt": "aapt", "zipalign": "zipalign", "apksigner": "apksigner"}
# A key that everybody knows, as Android Studio's debug key: who publishes an app signs it with an own one.
_KEY = ("debug.keystore", "android", "androiddebugkey")


def main() -> int:
    """Entry point; exit status 2 and one line for what the user can correct."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="the .zip of a bundle, put inside")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--compile-only", action="store_true", help="stop after javac")
    arguments = parser.parse_args()
    try:
        out: Path = arguments.out
        out.mkdir(parents=True, exist_ok=True)
        classes, libraries = compile_java(out)
        if not arguments.compile_only:
            print(describe(build(out, classes, libraries, arguments.bundle)))
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class BuildError(Exception):
    """A step failed; the message says what to do."""


def compile_java(out: Path) -> tuple[Path, Path]:
    """Compile the modules and the app; gives the folder of classes and that of the fetched libraries."""
    libraries = out / "libraries"
    need("mvn", "install a JDK and Maven")
    run(["mvn", "-q", "-B", "-N", "-f", str(APP / "pom.xml"), "dependency:copy-dependencies",
          f"-DoutputDirectory={libraries.resolve()}", f"-Dbuild.root={out.resolve()}"],
         "see whether Maven Central can be reached")  # fmt: skip
    for archive in libraries.glob("*.aar"):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name == "classes.jar":
                    (libraries / f"{archive.stem}.jar").write_bytes(opened.read(name))
                elif name.startswith("jni/") and name.endswith(".so"):
                    opened.extract(name, libraries)
    generated = [_resources(out, _android(libraries)), build_config(out)]
    classes = out / "classes"
    shutil.rmtree(classes, ignore_errors=True)
    classes.mkdir()
    sources = [source for module in MODULES for source in java_files(HERE / module / "src/main/java")]
    sources += [*java_files(APP / "src/main/java"), *generated]
    runtime = [str(jar) for jar in sorted(libraries.glob("tensorflow-lite*.jar"))]
    run(["javac", "--release", "8", "-Werror", "-Xlint:all,-options,-serial,-processing,-try,-classfile,-deprecation",
          "-cp", ":".join([str(_android(libraries)), *runtime]), "-d", str(classes), *map(str, sources)],
         "correct the sources")  # fmt: skip
    return classes, libraries


def manifest(out: Path) -> Path:
    """The app's manifest with what Gradle would add."""
    text = (APP / "src/main/AndroidManifest.xml").read_text(encoding="utf-8")
    head, application = 'schemas.android.com/apk/res/android">', "<application"
    if text.count(head) != 1 or text.count(application) != 1:
        raise BuildError("app/src/main/AndroidManifest.xml has another form than apk.py knows: correct one of them")
    versions = f'package="pocketrec.app" android:versionCode="1" android:versionName="{VERSION}">'
    levels = f'<uses-sdk android:minSdkVersion="{MIN_API}" android:targetSdkVersion="{TARGET_API}" />'
    text = text.replace(head, f"{head[:-1]} {versions}\n    {levels}")
    written = out / "AndroidManifest.xml"
    written.write_text(text.replace(application, f'{application} android:extractNativeLibs="true"'), encoding="utf-8")
    return written


def build(out: Path, classes: Path, libraries: Path, bundle: Path | None) -> Path:
    """Dex, package, align, sign, verify; gives the APK."""
    for tool, package in _PACKAGES.items():
        need(tool, f"install it (on Debian: apt-get install {package})")
    if bundle is None or not bundle.is_file():
        raise BuildError(f"no bundle {bundle}: name the .zip of one with --bundle")
    assets = out / "assets"
    shutil.rmtree(assets, ignore_errors=True)
    assets.mkdir()
    shutil.copyfile(bundle, assets / "bundle.zip")
    android = _android(libraries)
    dexed = out / "dex"
    shutil.rmtree(dexed, ignore_errors=True)
    dexed.mkdir()
    (dexer,) = libraries.glob("r8-*.jar")
    jars = sorted(libraries.glob("tensorflow-lite*.jar"))
    compiled = [str(file) for file in (*sorted(classes.rglob("*.class")), *jars)]
    run(["java", "-cp", str(dexer), "com.android.tools.r8.D8", "--release", "--min-api", str(MIN_API),
          "--lib", _java_home(), "--lib", str(android), "--output", str(dexed), *compiled],
         "correct the sources")  # fmt: skip
    unaligned, aligned, signed = out / "unaligned.apk", out / "aligned.apk", out / "pocketrec.apk"
    run(["aapt", "package", "-f", "-M", str(manifest(out)), "-S", str(APP / "src/main/res"),
          "-A", str(assets), "-0", "zip", "-I", str(android), "-F", str(unaligned)],
         "correct the resources")  # fmt: skip
    with zipfile.ZipFile(unaligned, "a", zipfile.ZIP_DEFLATED) as package:
        for dex in sorted(dexed.glob("*.dex")):
            package.write(dex, dex.name)
        for library in sorted((libraries / "jni").rglob("*.so")):
            package.write(library, f"lib/{library.parent.name}/{library.name}")
    run(["zipalign", "-f", "4", str(unaligned), str(aligned)], "free some space")
    keystore = out / _KEY[0]
    if not keystore.exists():
        run(["keytool", "-genkeypair", "-keystore", str(keystore), "-storepass", _KEY[1], "-keypass", _KEY[1],
              "-alias", _KEY[2], "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000",
              "-dname", "CN=Android Debug"], "install a JDK")  # fmt: skip
    run(["apksigner", "sign", "--ks", str(keystore), "--ks-pass", f"pass:{_KEY[1]}", "--out", str(signed),
          str(aligned)], "delete the keystore and build again")  # fmt: skip
    run(["apksigner", "verify", "--min-sdk-version", str(MIN_API), str(signed)], "build again")
    unaligned.unlink()
    aligned.unlink()
    return signed


def describe(apk: Path) -> str:
    """What the finished file is, read back from it."""
    badging = run(["aapt", "dump", "badging", str(apk)], "build again")
    with zipfile.ZipFile(apk) as opened:
        libraries = sum(entry.compress_size for entry in opened.infolist() if entry.filename.startswith("lib/"))
        bundle = opened.getinfo("assets/bundle.zip").file_size
    kept = ("package:", "sdkVersion:", "targetSdkVersion:", "native-code:", "launchable-activity:", "uses-permission:")
    lines = [line for line in badging.splitlines() if line.startswith(kept)]
    lines.append(f"{apk}: signed and verified, {apk.stat().st_size:,} bytes, of which TensorFlow Lite {libraries:,} "
                 f"and the bundle {bundle:,}")  # fmt: skip
    lines += [f"{badging.count('uses-permission:')} permissions", *binaries.libraries_of(apk)]
    return "\n".join(lines)


def _resources(out: Path, android: Path) -> Path:
    """R.java by aapt; where there is none, one with the same names, which is enough to compile."""
    generated = out / "generated"
    target = generated / "pocketrec/app/R.java"
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("aapt"):
        run(["aapt", "package", "-f", "-m", "-J", str(generated), "-M", str(manifest(out)),
              "-S", str(APP / "src/main/res"), "-I", str(android)], "correct the resources")  # fmt: skip
        return target
    entries = ElementTree.parse(APP / "src/main/res/values/strings.xml").getroot()
    names = "".join(f"public static final int {entry.get('name')} = 0; " for entry in entries)
    target.write_text(f"package pocketrec.app; final class R {{ static final class string {{ {names}}} }}\n")
    return target


def build_config(out: Path) -> Path:
    """BuildConfig.java with the field that Gradle's build writes: which runtime is packed."""
    target = out / "generated/pocketrec/app/BuildConfig.java"
    target.parent.mkdir(parents=True, exist_ok=True)
    field = f'static final String RUNTIME = "{RUNTIME.replace("-", "_")}";'
    target.write_text(f"package pocketrec.app; final class BuildConfig {{ {field} }}\n")
    return target


def _java_home() -> str:
    """Folder of the JDK: the dexer wants the classes of java.lang, which the jar of Android's lacks."""
    said = subprocess.run(["java", "-XshowSettings:properties", "-version"], capture_output=True, text=True).stderr
    return next(line.split("=", 1)[1].strip() for line in said.splitlines() if line.strip().startswith("java.home ="))


def java_files(folder: Path) -> list[Path]:
    """Java sources below a folder."""
    return sorted(folder.rglob("*.java"))


def _android(libraries: Path) -> Path:
    (jar,) = libraries.glob("android-all-*.jar")
    return jar


def need(tool: str, way: str) -> None:
    """Refuse to continue without a tool; `way` says how to get it."""
    if shutil.which(tool) is None:
        raise BuildError(f"there is no {tool}: {way}")


def run(command: list[str], way: str) -> str:
    """What a command prints; where it fails, `way` says what to do."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed: {way}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
