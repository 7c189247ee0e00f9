# SPDX-License-Identifier: Apache-2.0
"""The engine: starts a SuperLink and SuperNodes on the loopback, hands rounds to them, and ends all of their processes.

Flower's telemetry, its check for updates and its installation of packages at run time are off, and its folder
(FLWR_HOME) lies in the run's. ``python -m pocketrec.flower.engine link|node ...`` starts a part of Flower with the time
after which a task's claim expires set first; see `PATIENCE`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, Final, NoReturn

from pocketrec.cloud.federated.device import FederatedUser
from pocketrec.cloud.federated.engine import Answer
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError, PocketRecError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.federated.plan import Plan
from pocketrec.flower.family import Family
from pocketrec.flower.keys import make_certificates, make_node_key
from pocketrec.flower.relay import ANSWER, NODES, write_node

#: Seconds that a claimed task may take to start. Flower's own 30 are too few on a machine with other work: the token of
#: a ServerApp that starts later is refused, and it is started again for ever (seen with 1.42.0).
PATIENCE: Final = 300
_CHECK: Final = "check"
_PARENT_DEATH: Final = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_CLAIM: Final = "HEARTBEAT_DEFAULT_INTERVAL"
#: Seconds for all of Flower's processes to be there.
_START: Final = 240.0
_QUIET: Final = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
_HOST: Final = "127.0.0.1"
_INSTALL: Final = "install Flower in an environment of its own: pip install 'pocketrec[federated]'"


@dataclass(frozen=True)
class Options:
    """How Flower is started."""

    nodes: int = 2
    """SuperNodes; the devices are dealt out to them."""
    tls: bool = True
    """Whether nodes and SuperLink talk over TLS, and nodes have keys that the SuperLink knows."""
    start: float = _START
    """Seconds for all of Flower's processes to be there."""
    python: str = ""
    """Interpreter of the environment that has Flower and PocketRec; "" = this one."""


class Flower:
    """Devices behind SuperNodes; made by `flower`."""

    family: Family
    """All processes of Flower."""
    live = False  # time is kept by `timeout`; equal plans make the rounds those of the engine `processes`

    def __init__(self, link: Connection[Any, Any], family: Family, start: float) -> None:
        self._link, self.family = link, family
        nodes = self._header(start)[NODES]
        self._node_of = {device: node for node, devices in nodes.items() for device in devices}

    def collect(self, plan: Plan, weights: bytes, devices: Sequence[str], timeout: float) -> Iterator[Answer]:
        """See `Engine.collect`.

        Raises:
            PocketRecError: Flower's server has ended.
        """
        chosen: dict[str, list[str]] = {}
        for device in devices:
            if device in self._node_of:
                chosen.setdefault(self._node_of[device], []).append(device)
        try:
            self._link.send_bytes(documents.line({"devices": chosen, "timeout": timeout}).encode())
            self._link.send_bytes(plan.to_bytes())
            self._link.send_bytes(weights)
        except OSError:
            self._gone()
        answers: dict[str, Answer] = {}
        while (header := self._header(timeout + PATIENCE)[ANSWER]) is not None:
            contents = [self._link.recv_bytes() for _ in header["devices"]]
            for place, name in enumerate(header["devices"]):
                answers[name] = Answer(name, contents[place] or None, header["declined"][place],
                                       header["milliseconds"][place])  # fmt: skip
        for device in devices:
            yield answers.get(device, Answer(device))

    def _header(self, timeout: float) -> dict[str, Any]:
        """The next header of the ServerApp."""
        until = time.monotonic() + timeout
        while not self._link.poll(1.0):
            if time.monotonic() > until or "link" in self.family.ended():
                self._gone()
        try:
            return documents.parse_table(self._link.recv_bytes())
        except (EOFError, OSError):
            self._gone()

    def _gone(self) -> NoReturn:
        raise PocketRecError("Flower's server ended, or does not answer: run again, which resumes after the last whole "
                             "round; its logs lie in the folder flower of the run")  # fmt: skip


@contextlib.contextmanager
def flower(
    path: Path, users: Mapping[str, FederatedUser], folder: Path, *, seed: int, runtime: str = "auto",
    options: Options | None = None,
) -> Iterator[Flower]:  # fmt: skip
    """The engine, with its processes for as long as the context lasts.

    Args:
        path: the contribution file.
        users: every device by name.
        folder: for Flower's files and logs; what an earlier call left there is used no more.
        seed: the devices' secrets follow from it.
        runtime: auto, ai_edge_litert or tflite_runtime.
        options: see `Options`.

    Raises:
        ConfigError: Flower is not installed, or not a version that this engine can start.
        PocketRecError: its processes are not there in time.
    """
    asked = options or Options()
    python = Path(asked.python or sys.executable).absolute()
    _check(python)
    home = (folder / "flower").absolute()
    home.mkdir(parents=True, exist_ok=True)
    names = list(users)
    for place in range(asked.nodes):
        held = {name: users[name] for name in names[place :: asked.nodes]}
        write_node(home / f"node-{place}", path.absolute(), held, seed, choose_runtime(runtime))
    # Flower starts its own programs by name.
    search = {"PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])}
    environment = {**os.environ, **search, **_QUIET, "FLWR_HOME": str(home / "home")}
    with (
        tempfile.TemporaryDirectory(prefix="pocketrec-") as short,  # a socket's path has room for 107 bytes
        Family(environment, home) as family,
    ):
        key = Path(short) / "key"
        write_atomic(key, secrets.token_bytes(32), mode=0o600)
        with Listener(str(Path(short) / "relay"), "AF_UNIX", authkey=key.read_bytes()) as listener:
            _start(family, home, python, asked, {"relay": listener.address, "key": str(key), "nodes": asked.nodes,
                                         "timeout": asked.start})  # fmt: skip
            with _accepted(listener, family, asked.start) as link:
                yield Flower(link, family, asked.start)


def claim_patience(seconds: int | None) -> None:
    """Set how long Flower lets a claimed task wait for its process, before any other part of Flower is imported.

    Args:
        seconds: the time; None = only see that it could be set.

    Raises:
        ConfigError: Flower is not installed, or has no such constant any more: then the engine must not be used.
    """
    if importlib.util.find_spec("flwr") is None:
        raise ConfigError(f"the engine flower needs the package flwr: {_INSTALL}")
    from flwr.common import constant

    if not isinstance(getattr(constant, _CLAIM, None), int):
        raise ConfigError(f"this version of flwr has no {_CLAIM}, without which it does not run reliably: {_INSTALL}")
    if seconds is not None:
        setattr(constant, _CLAIM, seconds)


def _check(python: Path) -> None:
    """Whether the interpreter's environment has a Flower that this engine can start."""
    try:
        asked = [*_command(python), _CHECK]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_START)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"cannot run {python} ({error}): name a Python in federate.flower") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{python} failed: {_INSTALL}"]
        raise ConfigError(lines[-1])


def _command(python: Path) -> list[str | Path]:
    """What starts this module; -P leaves the working folder out of the places where modules are looked for."""
    return [python, "-P", "-m", "pocketrec.flower.engine"]


def _start(
    family: Family, home: Path, python: Path, options: Options, run_config: Mapping[str, Any]
) -> None:
    """Start the SuperLink, the nodes and the run."""
    port, *node_ports = _free_ports(1 + options.nodes)
    address, files = f"{_HOST}:{port}", make_certificates(home) if options.tls else None
    own, flwr = _command(python), python.with_name("flwr")
    secure: list[str | Path] = ["--insecure"]
    trusted: list[str | Path] = ["--insecure"]
    if files is not None:
        secure = ["--ssl-certfile", files.certificate, "--ssl-keyfile", files.key, "--ssl-ca-certfile", files.authority,
                  "--enable-supernode-auth"]  # fmt: skip
        trusted = ["--root-certificates", files.authority]
    link = ["--host", _HOST, "--port", str(port), "--disable-runtime-dependency-installation"]
    family.start("link", [*own, "link", *link, *secure])
    _wait_for(port, family, options.start)
    _write_app(home, address, files.authority if files else None, run_config)
    for place, node_port in enumerate(node_ports):
        config = f'folder="{home / f"node-{place}"}"'
        known: list[str | Path] = []
        if files is not None:
            private = home / f"node-{place}.key"
            public = make_node_key(private)
            _flwr(family, f"register-{place}", [flwr, "supernode", "register", public, "here"])
            known = ["--auth-supernode-private-key", private]
        family.start(f"node-{place}", [
            *own, "node", *trusted, *known, "--superlink", address, "--host", _HOST, "--port", str(node_port),
            "--node-config", config,
        ])  # fmt: skip
    _flwr(family, "run", [flwr, "run", home / "app", "here"])


def _write_app(home: Path, address: str, authority: Path | None, run_config: Mapping[str, Any]) -> None:
    """The app that is sent to the nodes, which names our installed modules and has no code; and Flower's own file."""
    import tomllib

    app, settings = home / "app", home / "home"
    for place in (app, settings):
        place.mkdir(exist_ok=True)
    values = "\n".join(f"{name} = {documents.line(value)}" for name, value in run_config.items())
    text = (
        '[project]\nname = "pocketrec-rounds"\nversion = "1.0.0"\nlicense = "Apache-2.0"\ndescription = "Rounds"\n'
        '[tool.flwr.app]\npublisher = "pocketrec"\n'
        '[tool.flwr.app.components]\nserverapp = "pocketrec.flower.server_app:app"\n'
        'clientapp = "pocketrec.flower.client_app:app"\n'
        f"[tool.flwr.app.config]\n{values}\n"
    )
    tomllib.loads(text)
    write_atomic(app / "pyproject.toml", text.encode())
    trusted = "insecure = true" if authority is None else f"root-certificates = {documents.line(str(authority))}"
    own = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{address}"\n{trusted}\n'
    write_atomic(settings / "config.toml", own.encode())


def _flwr(family: Family, name: str, command: Sequence[str | Path]) -> None:
    """One command of Flower's."""
    if family.run(name, command, _START) != 0:
        raise PocketRecError(f"`flwr {command[1]}` failed: see {name}.log in the folder flower of the run")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((_HOST, 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in held]


def _wait_for(port: int, family: Family, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and "link" not in family.ended():
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), 1.0):
            return
        time.sleep(0.2)
    raise PocketRecError("Flower's SuperLink did not start: see link.log in the folder flower of the run")


def _accepted(listener: Listener, family: Family, seconds: float) -> Connection[Any, Any]:
    """The connection of the ServerApp."""
    waiting, until = listener._listener._socket, time.monotonic() + seconds  # type: ignore[attr-defined]
    waiting.settimeout(1.0)
    while time.monotonic() < until and "link" not in family.ended():
        with contextlib.suppress(TimeoutError):
            link: Connection[Any, Any] = listener.accept()
            return link
    raise PocketRecError("Flower's ServerApp did not start: see link.log in the folder flower of the run")


def _end_with_parent() -> None:
    """Have this process end when the one that started it does, even by SIGKILL; Flower's own children follow it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, int(signal.SIGTERM))


def main(arguments: list[str]) -> None:
    """Start a SuperLink or a SuperNode in this process, or only see whether they could be."""
    part, *rest = arguments
    if part == _CHECK:
        try:
            return claim_patience(None)
        except ConfigError as error:
            sys.exit(str(error))
    _end_with_parent()
    claim_patience(PATIENCE)
    if part == "link":
        from flwr.superlink.cli import flower_superlink as begin
    else:
        from flwr.supernode.cli import flower_supernode as begin
    sys.argv = [f"flower-super{part}", *rest]
    begin()


if __name__ == "__main__":
    main(sys.argv[1:])
