"""Who may import whom (read from the source), and what an import may cost (measured in fresh processes)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pocketrec

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("device", "export", "cloud")

#: Modules of the device that do its work, as opposed to what both sides agree on.
RUNNER = {"model", "runtime", "recommender", "personalise", "training", "state", "bench", "probe", "cli"}
#: Modules of the cloud that let devices run: the fleet and the rehearsal.
FLEET = ("fleet", "rehearse")


def _arrows(part: str) -> Iterator[tuple[str, str]]:
    """(module of ours, imported module of ours) for every import of a part, wherever in the module it stands."""
    for path in sorted((ROOT / part).rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for imported in names:
                if imported.startswith("pocketrec"):
                    yield name, imported.removeprefix("pocketrec.")


def test_device_imports_nothing_else_of_the_project() -> None:
    arrows = [(name, imported) for name, imported in _arrows("device") if not imported.startswith("device.")]
    assert arrows == [], "device must stay installable alone"


def test_export_imports_models_configuration_and_device_only() -> None:
    allowed = ("cloud.models", "cloud.config", "device.", "export.")
    arrows = [(name, imported) for name, imported in _arrows("export") if not imported.startswith(allowed)]
    assert arrows == []


def test_cloud_never_imports_export() -> None:
    assert [arrow for arrow in _arrows("cloud") if arrow[1].startswith("export")] == []


def test_only_fleet_and_rehearsal_import_the_device_runner() -> None:
    arrows = [
        (name, imported)
        for name, imported in _arrows("cloud")
        if imported.startswith("device.")
        and imported.split(".")[1] in RUNNER
        and not name.removeprefix("cloud.").startswith(FLEET)
    ]
    assert arrows == []


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {
        "pocketrec." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for part in PARTS
        for path in (ROOT / part).rglob("__init__.py")
    }
    assert set(settings["packages"]) == found | {"pocketrec", "pocketrec.commands"}


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


@pytest.mark.parametrize("command", ["", "run", "personalise", "bench", "pfedrec"])
def test_help_is_light(command: str) -> None:
    arguments = [*command.split(), "--help"]
    code = (
        "import contextlib\nfrom pocketrec.cli import main\n"
        f"with contextlib.suppress(SystemExit):\n    main({arguments!r})"
    )
    assert _loaded_by(code, *HEAVY, "numpy") == set()


def test_the_pipeline_table_is_light() -> None:
    assert _loaded_by("import pocketrec.pipeline", *HEAVY, "numpy") == set()
