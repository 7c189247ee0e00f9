# SPDX-License-Identifier: Apache-2.0
"""`pocketrec bench --ssh user@host`: the bench on another machine, which keeps nothing of it.

The device's modules (as a wheel, which Python imports as it is) and the bundle without its candidates go through
one ssh connection into a folder made there; Python runs the bench from it, its result comes back, and the folder is
deleted, whatever happened. There it takes a POSIX shell, tar, Python 3.11, numpy and a runtime; nothing is installed.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pocketrec
import pocketrec.device
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError, RemoteError
from pocketrec.device.bench import schema as bench_schema
from pocketrec.device.contract.names import CANDIDATES_FOLDER, MANIFEST_FILE
from pocketrec.device.delivery import versions
from pocketrec.device.delivery.bundle import Bundle, open_bundle

_WHEEL: Final = f"pocketrec-{pocketrec.__version__}-py3-none-any.whl"
_SSH_FAILED: Final = 255  # ssh's own exit status, where the connection failed
_GRACE: Final = 30.0  # seconds for the connection and the copy, beyond those for the bench

#: Run there by sh, with the archive on standard input. Exit statuses of its own: 90 and more.
_SCRIPT: Final = """
umask 077
folder=$(mktemp -d "${TMPDIR:-/tmp}/pocketrec.XXXXXX") || exit 91
trap 'cd /; rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM PIPE
cd "$folder" || exit 91
command -v "$python" >/dev/null 2>&1 || { cat >/dev/null; exit 92; }
tar -xf - || { cat >/dev/null; exit 93; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || exit 94
"$python" -c 'import numpy' >/dev/null 2>&1 || exit 95
limit=""
command -v timeout >/dev/null 2>&1 && limit="timeout $seconds"
PYTHONPATH="$folder/$wheel" $limit "$python" -m pocketrec.cli bench --bundle "$folder/bundle" "$@" || exit $?
"""

_REASONS: Final = {
    91: "no folder can be made there: free some space, or set TMPDIR there to a folder that can be written",
    93: "the files cannot be unpacked there: free some space, or install tar there",
    94: "its Python is older than 3.11: name a newer one with --remote-python",
    95: "its Python has no numpy: install device/requirements.txt there, or name another Python with --remote-python",
    124: "the bench took too long there: make --calls smaller or --ssh-timeout larger",
}


@dataclass(frozen=True)
class Remote:
    """Where and how to run."""

    host: str
    """As ssh takes it: user@host, or a name of its configuration."""
    python: str = "python3"
    """Python there, with numpy and a runtime."""
    command: str = "ssh"
    """The ssh program with options of its own, such as "ssh -p 2222"."""
    seconds: float = 600.0
    """Most seconds for the bench, above 0."""

    def __post_init__(self) -> None:
        if not self.host or self.host.startswith("-"):
            raise ConfigError(f"{self.host!r} is not a machine: give --ssh user@host")
        if not 0 < self.seconds < 1e6 or not shlex.split(self.command):
            raise ConfigError("--ssh-timeout must be above 0, and --ssh-command name a program: change them")


def bench_there(remote: Remote, bundle: str | Path, options: list[str]) -> dict[str, Any]:
    """Run `pocketrec bench` on another machine.

    Args:
        remote: where.
        bundle: folder or .zip, opened and verified here.
        options: further words of `pocketrec bench`.

    Returns:
        Its result, checked as `bench_schema` says.

    Raises:
        RemoteError: no connection, or something is missing there; one line says what.
        BundleError: the bundle cannot be opened here.
    """
    opened = open_bundle(bundle)
    with tempfile.TemporaryFile() as archive:
        pack(opened, archive)
        archive.seek(0)
        done = _run(remote, options, archive)
    if done.returncode:
        raise RemoteError(f"{remote.host}: {_reason(remote, done.returncode, done.stderr.decode(errors='replace'))}")
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        result = documents.parse(lines[-1] if lines else "")
    except ValueError:
        raise RemoteError(f"{remote.host}: the output is not a result: try `ssh {remote.host} true`, which must print "
                          "nothing") from None  # fmt: skip
    if wrong := bench_schema.problem(result):
        raise RemoteError(f"{remote.host}: the output is not a result ({wrong}): try again")
    return dict(result)


def pack(bundle: Bundle, archive: IO[bytes]) -> None:
    """Write a tar of the device's wheel and the bundle without candidates, which a bench does not need."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, _WHEEL, _wheel())
        _add(tar, f"bundle/{versions.SHARDS}", b"[]")
        for name in (MANIFEST_FILE, *bundle.manifest.files):
            if not name.startswith(f"{CANDIDATES_FOLDER}/"):
                tar.add(bundle.folder / name, f"bundle/{name}", recursive=False)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _wheel() -> bytes:
    """The modules that a device needs, as a wheel, in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, path in _modules():
            wheel.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
        about = f"Metadata-Version: 2.1\nName: pocketrec\nVersion: {pocketrec.__version__}\n"
        wheel.writestr(f"pocketrec-{pocketrec.__version__}.dist-info/METADATA", about)
    return buffer.getvalue()


def _modules() -> Iterator[tuple[str, Path]]:
    top, device = Path(pocketrec.__file__).parent, Path(pocketrec.device.__file__).parent
    command = ("commands/__init__.py", "commands/terminal.py", "commands/bench.py")
    yield from ((f"pocketrec/{name}", top / name) for name in ("__init__.py", "cli.py", *command))
    modules = ((path.relative_to(device).as_posix(), path) for path in sorted(device.rglob("*.py")))
    yield from ((f"pocketrec/device/{name}", path) for name, path in modules)


def _run(remote: Remote, options: list[str], archive: IO[bytes]) -> subprocess.CompletedProcess[bytes]:
    settings = {"python": remote.python, "wheel": _WHEEL, "seconds": f"{remote.seconds:g}"}
    script = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()) + _SCRIPT
    there = f"exec sh -c {shlex.quote(script)} sh {shlex.join(options)}"
    words = [*shlex.split(remote.command), "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15",
             "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "--", remote.host, there]  # fmt: skip
    try:
        return subprocess.run(
            words, stdin=archive, capture_output=True, check=False, timeout=remote.seconds + _GRACE
        )
    except FileNotFoundError:
        hint = "install OpenSSH's client, or name it with --ssh-command"
        raise RemoteError(f"no program {words[0]} here: {hint}") from None
    except OSError as error:
        raise RemoteError(f"{words[0]} cannot be started ({error.strerror}): correct --ssh-command") from None
    except subprocess.TimeoutExpired:
        raise RemoteError(f"{remote.host}: no result after {remote.seconds + _GRACE:g} s: make --calls smaller or "
                          "--ssh-timeout larger") from None  # fmt: skip


def _reason(remote: Remote, status: int, said: str) -> str:
    """Why it failed, in one line that ends with what to do."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if status == _SSH_FAILED:
        return f"ssh: {last or 'the connection was lost'}: check that `ssh {remote.host} true` works without a password"
    if status == 92:
        return f"no {remote.python} there: install Python 3.11, or name another with --remote-python"
    if status in _REASONS:
        why = next((line for line in lines if "No space" in line or "denied" in line), "")
        return _REASONS[status] + (f" ({why})" if why else "")
    if last.startswith("error: "):  # the bench's own, which says what to do
        return last.removeprefix("error: ")
    return f"the bench ended with status {status} ({last[:200] or 'and said nothing'}): run it there by hand"
