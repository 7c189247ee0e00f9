# SPDX-License-Identifier: Apache-2.0
"""The device's tests on 64-bit ARM, emulated: ``python tests/arm64.py WHEEL BUNDLE``. Works on x86 Linux, as any user.

A root of Debian for arm64 (`debootstrap --download-only`, unpacked), with Python, numpy and both runtimes from their
arm64 wheels, is made once under --cache. Inside it, under qemu's user mode: the device tests and `pocketrec bench` with
tflite-runtime, and tests/arithmetic.py on each runtime, whose numbers must equal those of this machine within 1e-4.
Where something that this takes is missing, a line says what, and the exit status is 0; a test that fails makes it 1.

The emulator runs in namespaces of its own, so nothing on this machine is registered, mounted or changed. In the root
lies neither /proc nor /sys, which would show the host's processor. Times and memory under emulation say nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
PACKAGES = (
    "numpy==1.26.4", "tflite-runtime==2.14.0", "ai-edge-litert==2.3.0",
    "pytest==9.2.0", "hypothesis==6.170.15", "cryptography==50.0.2",
)  # fmt: skip
TRAINING, FORWARD = "tflite_runtime", "ai_edge_litert"
TOLERANCE = 1e-4

#: LiteRT 2.0 to 2.3 crash in `train` and `export_weights` here, under qemu 7.2 and 10.0, with XNNPACK and without; what
#: goes forward works. So it computes only that, and the tests take the other runtime.
WITHOUT = {TRAINING: [], FORWARD: ["--forward"]}

#: What runs without --full: the files in which the runtime computes.
QUICK = ("engine/test_model.py", "test_recommender.py", "state/test_state.py", "contract/test_lean.py")
#: Tests that mean another machine: both runtimes are there, and examples take longer than hypothesis allows.
LEFT_OUT = ("test_runtimes_by_name", "test_coding_gives_back_every_bit")

#: Makes the namespaces, tells the kernel how to start arm64 programs, and goes into the root ($1) with the rest.
ENTER = r"""
set -e
root=$1; shift
test -e /proc/sys/fs/binfmt_misc/qemu-aarch64 || {
  mount -t binfmt_misc binfmt /proc/sys/fs/binfmt_misc
  printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$QEMU"':OPF' >/proc/sys/fs/binfmt_misc/register
}
for name in null zero full urandom random; do mount --bind /dev/$name "$root/dev/$name"; done
cd "$root" && exec chroot . /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 "$@"
"""  # noqa: E501


class MissingError(Exception):
    """Something is not here; the message says what."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the project's wheel")
    parser.add_argument("bundle", type=Path, help="what tests/make_bundle.py wrote")
    parser.add_argument("--cache", type=Path, default=Path("build/arm64"), help="where the root is kept")
    parser.add_argument("--full", action="store_true", help="all device tests, not only those that compute")
    parser.add_argument("--results", type=Path, help="write RESULTS.xml (JUnit), or a reason to RESULTS.skipped")
    parser.add_argument("--native", nargs="*", type=Path, default=[], help="Pythons of this machine, one a runtime")
    options = parser.parse_args()
    try:
        root = prepared(options.cache.absolute())
    except MissingError as missing:
        print(f"arm64 tests: skipped: {missing}", flush=True)
        if options.results:
            options.results.with_name(f"{options.results.name}.skipped").write_text(f"{missing}\n", encoding="utf-8")
        return 0
    started = time.monotonic()
    install(root, options.wheel, options.bundle)
    failed = not_equal(root, options.bundle, options.native)
    failed += tests(root, options.full, options.results)
    failed += bench(root)
    print(f"arm64, emulated: {'failed' if failed else 'good'}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


def prepared(cache: Path) -> Path:
    """The root, made where it is not there.

    Raises:
        MissingError: a tool, the kernel's help, or what the registries hold.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise MissingError("they take Linux on x86-64; on an arm64 machine `make test-litert` runs the same tests")
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where debootstrap and chroot are, for users too
    for tool in ("qemu-aarch64-static", "debootstrap", "dpkg-deb", "unshare", "chroot"):
        if shutil.which(tool) is None:
            raise MissingError(f"no {tool} here: apt-get install qemu-user-static debootstrap")
    trial = "test -e /proc/sys/fs/binfmt_misc/qemu-aarch64 || mount -t binfmt_misc binfmt /proc/sys/fs/binfmt_misc"
    done = subprocess.run([*NAMESPACES, "sh", "-c", trial], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"the kernel starts no arm64 programs for us ({_last(done.stderr)}): "
                      "Linux 6.7 with user namespaces, or binfmt-support, is needed")  # fmt: skip
    key = hashlib.sha256(repr((SUITE, PACKAGES, 1)).encode()).hexdigest()[:12]
    root = cache / f"root-{key}"
    if root.is_dir():
        return root
    print(f"making an arm64 root of Debian {SUITE} in {root}: about a minute", flush=True)
    begun = cache / f".root.{os.getpid()}.tmp"
    begun.mkdir(parents=True)
    try:
        _make(begun)
        begun.rename(root)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    for old in cache.glob("root-*"):
        if old != root:
            shutil.rmtree(old, ignore_errors=True)
    return root


NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount")


def _make(root: Path) -> None:
    """Unpack Debian's packages and the wheels; nothing in them is run, so no package is configured."""
    debs = root / "debs"
    _do(root, *NAMESPACES[:3], "debootstrap", "--download-only", "--arch=arm64", "--variant=minbase",
        "--include=python3", SUITE, str(debs))  # fmt: skip
    for name in ("bin", "lib", "sbin"):  # Debian's merged /usr, which its packages expect to be there
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    unpack = 'for deb in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb --fsys-tarfile "$deb" | ' \
             'tar -x --no-same-owner --keep-directory-symlink -C "$2" || exit 1; done'  # fmt: skip
    _do(root, "sh", "-c", unpack, "sh", str(debs), str(root))
    shutil.rmtree(debs)
    for name in ("null", "zero", "full", "urandom", "random"):
        (root / "dev" / name).touch()
    glibc = ("2014", "_2_17", "_2_27", "_2_28", "_2_34", "_2_35")
    platforms = [f"--platform=manylinux{name}_aarch64" for name in glibc]
    _do(root, sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target",
        str(root / "site"), "--python-version", PYTHON, "--implementation=cp", "--only-binary=:all:", *platforms,
        *PACKAGES)  # fmt: skip


def _do(root: Path, *words: str) -> None:
    log = root.parent / "log.txt"
    with log.open("ab") as file:
        done = subprocess.run(words, stdout=file, stderr=file, check=False)
    if done.returncode:
        raise MissingError(f"{Path(words[-1] if words[0] == 'sh' else words[0]).name} failed "
                      f"({_last(log.read_text(errors='replace'))}): see {log}")  # fmt: skip


def install(root: Path, wheel: Path, bundle: Path) -> None:
    """Put the wheel, the device tests and their bundle into the root, in the place of those before."""
    for name in ("wheel", "tested"):
        shutil.rmtree(root / name, ignore_errors=True)
    with zipfile.ZipFile(wheel) as file:
        file.extractall(root / "wheel")
    work = root / "tested"
    work.mkdir()
    shutil.copytree(TESTS, work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for path in bundle.parent.glob(f"{bundle.name}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, work / path.name.replace(bundle.name, "bundle", 1))
    shutil.copytree(TESTS.parent / "docs", work / "docs", ignore=shutil.ignore_patterns("*.png"))
    shutil.copy(TESTS.parent / "pyproject.toml", work)


def inside(root: Path, *words: str, **variables: str) -> list[str]:
    """The words that run `words` in the root, in /tested."""
    settings = {
        "PYTHONPATH": "/wheel:/site", "PYTHONDONTWRITEBYTECODE": "1", "POCKETREC_INSTALLED": "1",
        "POCKETREC_TEST_BUNDLE": "/tested/bundle", "POCKETREC_EMULATED": "1", "OPENBLAS_NUM_THREADS": "1", **variables,
    }  # fmt: skip
    named = [f"{name}={value}" for name, value in settings.items()]
    return [*NAMESPACES, "sh", "-c", f"QEMU={shlex.quote(shutil.which('qemu-aarch64-static') or '')}; {ENTER}", "sh",
            str(root), *named, "sh", "-c", 'cd /tested && exec "$@"', "sh", *words]  # fmt: skip


def not_equal(root: Path, bundle: Path, natives: list[Path]) -> int:
    """How many runtimes give other numbers there than here, on the bundle of the tests and on that of R."""
    here = {}
    for python in natives:
        environment = {**os.environ, "POCKETREC_RUNTIME": ""}
        told = _json([str(python), str(TESTS / "arithmetic.py"), str(bundle), f"{bundle}.reference"], environment)
        here[told.pop("runtime")] = told
    wrong = 0
    for runtime, less in WITHOUT.items():
        there = _json(inside(root, "python3", "tests/arithmetic.py", *less, "bundle", "bundle.reference",
                             POCKETREC_RUNTIME=runtime))  # fmt: skip
        assert there.pop("runtime") == runtime
        assert there.pop("architecture") == "aarch64"
        reference = here.get(runtime) or next(iter(here.values()), {})
        reference.pop("architecture", None)
        apart = {name: max(abs(a - b) for a, b in zip(there[name], values, strict=True))
                 for name, values in reference.items() if name in there}  # fmt: skip
        assert not reference or apart.keys() == there.keys()
        most = max(apart.values(), default=0.0)
        wrong += (bad := not most <= TOLERANCE)
        of = "this machine's" if runtime in here else "those of the other runtime here"
        count = sum(len(values) for values in there.values())
        print(f"arm64 {runtime}: {count} numbers, at most {most:.1e} from {of}"
              f"{f': more than {TOLERANCE}: {apart}' if bad else ''}", flush=True)  # fmt: skip
    return wrong


def tests(root: Path, full: bool, results: Path | None) -> int:
    """Run device tests; 1 if one failed."""
    quick = sorted(path.relative_to(TESTS.parent) for path in TESTS.rglob("device/**/*.py") if path.name in QUICK)
    files = ["tests/device"] if full else [str(path) for path in quick]
    print(f"arm64 {TRAINING}: {' '.join(files)}", flush=True)
    chosen = ["-k", " and ".join(f"not {name}" for name in LEFT_OUT)]
    words = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=junit.xml", *chosen, *files]
    status = subprocess.run(inside(root, *words, POCKETREC_RUNTIME=TRAINING), check=False).returncode
    written = root / "tested" / "junit.xml"
    if results and written.is_file():
        shutil.copy(written, results.with_name(f"{results.name}.xml"))
    return int(status != 0)


BENCH = """
import json
from pocketrec.device.bench.bench import bench
from pocketrec.device.delivery.bundle import open_bundle
print(json.dumps(bench(open_bundle("bundle"), calls=5, whole=False)))
"""


def bench(root: Path) -> int:
    """Run the bench, but no processes or matrix products; 1 if it does not say that it was emulated."""
    told = _json(inside(root, "python3", "-c", BENCH, POCKETREC_RUNTIME=TRAINING))
    shown = {name: told.get(name) for name in ("runtime", "emulated", "train_ms_p50", "embed_ms_p50")}
    print(f"arm64 bench: {json.dumps(shown)}", flush=True)
    return int(told.get("emulated") is not True)


def _json(words: list[str], environment: dict[str, str] | None = None) -> dict:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=600)
    if done.returncode:
        sys.exit(f"error: {shlex.join(words[-6:])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1][:200]


if __name__ == "__main__":
    sys.exit(main())
