# SPDX-License-Identifier: Apache-2.0
"""Who may import whom (read from the source), and what an import may cost (measured in fresh processes)."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pocketrec

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("device", "export", "cloud", "pocketrec")

_CLOUD_DATA = "cloud/base cloud/config cloud/data device/base"
#: Folder -> the folders that it imports from, each one to the letter; "" = none. A new arrow is a line here first.
TABLE = {
    "device/base": "",
    "device/contract": "device/base",
    "device/engine": "device/base device/contract",
    "device/store": "device/base",
    "device/personal": "device/base device/contract device/engine",
    "device/delivery": "device/base device/contract device/engine",
    "device/state": "device/base device/contract device/delivery device/engine device/personal device/store",
    "device/federated": "device/base device/contract device/delivery device/engine device/personal",
    "device/bench": "device/base device/delivery device/engine device/personal",
    "device": "device/base device/contract device/delivery device/engine device/personal device/state device/store",
    "device/cli": "device device/base device/bench device/delivery device/engine device/federated device/personal "
    "device/state device/store",
    "cloud": "",
    "cloud/config": "device/base device/contract device/engine",
    "cloud/base": "cloud/config device/base",
    "cloud/metrics": "device/base",
    "cloud/data": "cloud/base cloud/config device/base device/contract",
    "cloud/data/splits": "cloud/config cloud/data device/base",
    "cloud/rankers": "cloud/config device/base",
    "cloud/backbones": "cloud/config cloud/data cloud/rankers device/base device/contract",
    "cloud/ways": "cloud/config device/base device/contract",
    "cloud/candidates": f"{_CLOUD_DATA} cloud/backbones",
    "cloud/baselines": f"{_CLOUD_DATA} cloud/candidates device/contract",
    "cloud/fleet": f"{_CLOUD_DATA} cloud/baselines cloud/candidates cloud/metrics cloud/rankers device/bench "
    "device/contract device/delivery device/engine device/personal",
    "cloud/rehearsal": f"{_CLOUD_DATA} cloud/fleet cloud/metrics cloud/rankers device/contract device/engine "
    "device/personal",
    "cloud/evaluation": f"{_CLOUD_DATA} cloud/backbones cloud/baselines cloud/fleet cloud/metrics cloud/rankers "
    "device/contract",
    "cloud/training": f"{_CLOUD_DATA} cloud/backbones cloud/baselines cloud/candidates cloud/evaluation cloud/metrics "
    "cloud/rankers device/contract",
    "cloud/retrieval": f"{_CLOUD_DATA} cloud/baselines cloud/candidates cloud/evaluation cloud/metrics cloud/rankers "
    "cloud/training",
    "cloud/search": f"{_CLOUD_DATA} cloud/backbones cloud/baselines cloud/evaluation cloud/fleet cloud/metrics "
    "cloud/rankers cloud/rehearsal cloud/training device/contract",
    "cloud/report": "cloud/base cloud/config cloud/data cloud/evaluation cloud/fleet cloud/metrics device/base "
    "device/bench",
    "cloud/audit": "cloud/base cloud/config cloud/data cloud/metrics cloud/report device/base",
    "cloud/federated": f"{_CLOUD_DATA} cloud/backbones cloud/evaluation cloud/metrics cloud/rankers device/contract "
    "device/delivery device/engine device/federated device/personal",
    "cloud/federated/pfedrec": f"{_CLOUD_DATA} cloud/baselines cloud/metrics cloud/report",
    "cloud/spark": "cloud/candidates cloud/config cloud/data cloud/data/splits device/base",
    "export/layers": "cloud/config device/base device/contract",
    "export/rankers": "cloud/config cloud/rankers device/base device/contract export/layers",
    "export/tables": "cloud/backbones cloud/config device/base device/contract",
    "export/graph": "cloud/backbones cloud/config device/base device/contract export/layers export/rankers "
    "export/tables",
    "export/file": "device/base export/graph",
    "cloud/transfer": f"{_CLOUD_DATA} cloud/backbones cloud/baselines cloud/metrics cloud/rehearsal cloud/report "
    "cloud/training cloud/ways device/contract device/engine device/personal export/graph export/layers export/tables",
    "export": "cloud/backbones cloud/config cloud/rankers cloud/ways device/base device/contract export/file "
    "export/graph export/rankers export/tables",
    "export/gate": "cloud/backbones cloud/rankers device/base device/contract device/engine device/personal export "
    "export/rankers",
    "export/federated": "cloud/backbones cloud/config device/base device/contract device/engine device/federated "
    "device/personal export export/file export/gate export/graph export/layers export/rankers export/tables",
    "export/bundle": "device/base device/contract device/delivery",
    "pocketrec/flower": "cloud/federated device/base device/contract device/engine device/federated",
    "pocketrec/machines": "cloud/data device device/base device/bench device/contract device/delivery device/engine",
    "pocketrec/stages": f"{_CLOUD_DATA} cloud/audit cloud/backbones cloud/baselines cloud/candidates cloud/evaluation "
    "cloud/federated cloud/fleet cloud/metrics cloud/rankers cloud/rehearsal cloud/report cloud/search cloud/spark "
    "cloud/training cloud/transfer device/contract device/delivery device/engine export export/bundle export/federated "
    "export/gate export/graph export/tables pocketrec/flower",
    "pocketrec/commands": f"{_CLOUD_DATA} cloud/audit cloud/backbones cloud/evaluation cloud/federated/pfedrec "
    "cloud/fleet cloud/metrics cloud/rankers cloud/rehearsal cloud/report cloud/retrieval cloud/search cloud/training "
    "cloud/transfer device/cli device/delivery device/state "
    "export/bundle pocketrec/machines pocketrec/stages",
    "pocketrec": "cloud/candidates cloud/config cloud/data cloud/metrics device/base device/cli pocketrec/commands",
}


@functools.cache
def _modules() -> dict[str, Path]:
    """Import name without ``pocketrec.`` -> file, for every module of ours."""
    found = {}
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            found[name.removeprefix("pocketrec.").removesuffix(".__init__")] = path
    return found


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    """Modules of ours that a module imports, wherever in it the import stands, under TYPE_CHECKING too."""
    return tuple(_imported(path, _modules()))


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("pocketrec."):
                name = name.removeprefix("pocketrec.")
                yield name if name in known else name.rpartition(".")[0]


def _folder(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def _arrows() -> dict[str, set[str]]:
    """Folder -> folders that it imports from; the package `pocketrec` itself, which holds the version, is left out."""
    known = _modules()
    arrows: dict[str, set[str]] = {_folder(path): set() for path in known.values()}
    for path in known.values():
        targets = {_folder(known[name]) for name in _imports(path) if name}
        arrows[_folder(path)] |= targets - {_folder(path)}
    return arrows


def _floors(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The keys from the ground up: each floor imports from those below it only.

    Raises:
        AssertionError: there is a circle.
    """
    left, floors = dict(arrows), []
    while left:
        floor = sorted(name for name, targets in left.items() if not targets & left.keys())
        assert floor, f"a circle among {', '.join(sorted(left))}"
        floors.append(floor)
        left = {name: targets for name, targets in left.items() if name not in floor}
    return floors


def test_folders_import_from_the_folders_of_the_table() -> None:
    arrows = _arrows()
    for floor, names in enumerate(_floors(arrows)):  # shown by pytest -s, or where the test fails
        for name in names:
            print(f"{floor:>2} {name:<20} -> {' '.join(sorted(arrows[name])) or 'nothing of ours'}")
    assert arrows == {name: set(targets.split()) for name, targets in TABLE.items()}


def test_no_arrow_leads_upward() -> None:
    """The table names a folder after all that it imports from."""
    seen: set[str] = set()
    for name, targets in TABLE.items():
        assert set(targets.split()) <= seen, f"{name} imports from a folder that the table names later"
        seen.add(name)


def test_no_module_is_part_of_a_circle() -> None:
    known = _modules()
    arrows = {name: set(_imports(path)) & known.keys() - {name} for name, path in known.items()}
    public = {"device", ""}  # whose imports are made when a name is asked for
    _floors({name: targets - public for name, targets in arrows.items() if name not in public})


def test_device_imports_nothing_else_of_the_project() -> None:
    others = {name: targets for name, targets in _arrows().items() if name.startswith("device")}
    assert [target for targets in others.values() for target in targets if not target.startswith("device")] == []


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {path.parent.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("__init__.py")}
    names = {".".join(part for part in ("pocketrec", *folder.parts) if part) for folder in found}
    assert set(settings["packages"]) == {name.replace("pocketrec.pocketrec", "pocketrec") for name in names}


def test_the_installed_package_is_the_one_under_test() -> None:
    """`make test` promises to test the wheel; see POCKETREC_INSTALLED in the Makefile."""
    if "POCKETREC_INSTALLED" not in os.environ:
        pytest.skip("not under `make test`")
    assert "site-packages" in Path(pocketrec.__file__).parts


def _loaded_by(code: str, *packages: str) -> set[str]:
    """Which of `packages` a fresh process has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*(n for n in {packages!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=os.sep)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = ("tensorflow", "keras", "pandas", "implicit", "scipy")


def test_importing_the_device_loads_neither_tensorflow_nor_pandas() -> None:
    assert _loaded_by("import pocketrec.device", *HEAVY) == set()


def test_the_devices_public_api_loads_neither_tensorflow_nor_pandas() -> None:
    assert _loaded_by("from pocketrec.device import Recommender", *HEAVY) == set()


@pytest.mark.parametrize(
    "command", ["", "run", "personalise", "bench", "audit", "federate", "join", "pfedrec", "transfer"]
)
def test_help_is_light(command: str) -> None:
    arguments = [*command.split(), "--help"]
    code = (
        "import contextlib\nfrom pocketrec.cli import main\n"
        f"with contextlib.suppress(SystemExit):\n    main({arguments!r})"
    )
    assert _loaded_by(code, *HEAVY, "numpy") == set()


def test_the_table_of_stages_is_light() -> None:
    assert _loaded_by("import pocketrec.stages", *HEAVY, "numpy") == set()
