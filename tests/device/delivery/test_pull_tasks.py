# SPDX-License-Identifier: Apache-2.0
"""Patches over the wire: signed, numbered, bound to a model; what is altered is refused in one line."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from patches import altered, make_patch, put
from publishing import QUICK, changed, get, tree
from server import Server

from pocketrec import cli
from pocketrec.device.base.errors import BundleError, FetchError, PocketRecError
from pocketrec.device.contract.patch import PatchError, pack, unpack
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.patches import check_patch, open_patch, patch_path
from pocketrec.device.delivery.signing import make_key
from pocketrec.device.delivery.tasks import pull_tasks
from pocketrec.device.delivery.versions import read_current
from pocketrec.export.bundle.release import publish


@pytest.fixture
def tasks(folder: Path) -> Path:
    """A bundle with the patches of two tasks."""
    for seed, name in enumerate(("buys", "likes"), 1):
        put(folder, make_patch(open_bundle(folder), name, seed=seed))
    return folder


def key(tmp_path: Path, name: str = "key") -> tuple[Path, str]:
    pytest.importorskip("cryptography")
    return tmp_path / name, make_key(tmp_path / name)


def test_a_signed_patch_is_published_pulled_and_opened(tasks: Path, site: Server, tmp_path: Path) -> None:
    private, public = key(tmp_path)
    here = tmp_path / "here"
    done = publish(tasks, site.root, sign=private, patches=True)
    assert done.patches == {"buys": (1, True), "likes": (1, True)}
    get(site, here, key=public)
    assert pull_tasks(here, ["buys"], patience=QUICK) == ["buys"]
    bundle = open_bundle(here)
    patch = open_patch(bundle, "buys")
    assert (patch.serial, patch.ids) == (1, make_patch(bundle, "buys").ids)
    with pytest.raises(BundleError, match="has no task 'likes'"):
        open_patch(bundle, "likes")
    assert pull_tasks(here, patience=QUICK) == [], "nothing new"
    assert publish(tasks, site.root, sign=private, patches=True).patches == {"buys": (1, False), "likes": (1, False)}
    put(tasks, make_patch(bundle, "buys", seed=9))
    assert publish(tasks, site.root, sign=private, patches=True).patches == {"buys": (2, True), "likes": (1, False)}
    assert pull_tasks(here, patience=QUICK) == ["buys"]
    assert open_patch(bundle, "buys").serial == 2
    other = changed(tasks, "other")
    publish(other, site.root, sign=private, patches=True)
    assert get(site, here).new, "a new version of the same model"
    assert open_patch(open_bundle(here), "buys").serial == 2, "what was asked for once comes with every version"


def test_an_older_patch_is_refused_until_it_is_asked_for(tasks: Path, site: Server, tmp_path: Path) -> None:
    private, public = key(tmp_path)
    here = tmp_path / "here"
    publish(tasks, site.root, sign=private, patches=True)
    index = next((site.root / "patches").glob("*.json"))
    first = index.read_bytes()
    put(tasks, make_patch(open_bundle(tasks), "buys", seed=9))
    publish(tasks, site.root, sign=private, patches=True)
    get(site, here, key=public)
    pull_tasks(here, ["buys"], patience=QUICK)
    index.write_bytes(first)
    with pytest.raises(FetchError, match="offers number 1 of the patch of task 'buys', and 2 was here before"):
        pull_tasks(here, patience=QUICK)
    assert open_patch(open_bundle(here), "buys").serial == 2
    assert pull_tasks(here, patience=QUICK, older=True) == ["buys"]


def test_where_a_key_is_pinned_a_patch_has_to_be_signed_with_it(tasks: Path, site: Server, tmp_path: Path) -> None:
    private, public = key(tmp_path)
    other, _ = key(tmp_path, "other")
    here = tmp_path / "here"
    publish(tasks, site.root, sign=private)
    get(site, here, key=public)
    bundle = open_bundle(here)
    unsigned, foreign = (_offered(tasks, tmp_path / name, sign) for name, sign in (("a", None), ("b", other)))
    for folder, message in ((unsigned, "is not signed, and a key is pinned"),
                            (foreign, "is not signed with a pinned key, or was altered")):  # fmt: skip
        for path in (folder / "patches").iterdir():
            (site.root / "patches").mkdir(exist_ok=True)
            (site.root / "patches" / path.name).write_bytes(path.read_bytes())
        for path in (folder / "files").iterdir():
            (site.root / "files" / path.name).write_bytes(path.read_bytes())
        with pytest.raises(BundleError, match=message):
            pull_tasks(here, ["buys"], patience=QUICK)
        assert [name for name in tree(here) if "patches" in name or "partial" in name] == [], "nothing stays of it"
    put(bundle.folder, make_patch(bundle, "buys"))
    with pytest.raises(BundleError, match="is not signed, and a key is pinned"):
        open_patch(bundle, "buys")
    plain = open_bundle(tasks)
    assert open_patch(plain, "buys").task == "buys", "no key is pinned for a bundle's own folder"


def _offered(bundle: Path, folder: Path, sign: Path | None) -> Path:
    publish(bundle, folder, sign=sign, patches=True)
    return folder


def test_two_keys_sign_so_that_a_device_of_either_takes_it(tasks: Path, site: Server, tmp_path: Path) -> None:
    both = [key(tmp_path, name) for name in ("one", "two")]
    publish(tasks, site.root, sign=[private for private, _ in both], patches=True)
    for name, (_, public) in zip("ab", both, strict=True):
        get(site, tmp_path / name, key=public)
        assert pull_tasks(tmp_path / name, ["buys"], patience=QUICK) == ["buys"]


def test_the_command_pulls_tasks_and_tells_what_is_not_offered_in_one_line(
    tasks: Path, site: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["publish", str(tasks), "--to", str(site.root), "--patches"]) == 0
    assert "task buys      patch number 1" in capsys.readouterr().out
    here = str(tmp_path / "here")
    assert cli.main(["pull", site.url, "--to", here, "--task", "buys", "likes"]) == 0
    assert '"tasks": ["buys", "likes"]' in capsys.readouterr().out
    assert cli.main(["pull", "--to", here, "--task", "gone"]) == 2
    told = capsys.readouterr().err
    assert "offers no patch of task 'gone' for the model in use (it offers buys, likes): name another" in told
    assert told.splitlines()[-1].startswith("error:")
    current = read_current(Path(here))
    assert current is not None
    assert current.tasks == ["buys", "likes"]
    (tmp_path / "bare").mkdir()
    assert cli.main(["publish", str(changed(tasks, "bare2")), "--to", str(tmp_path / "bare"), "--patches"]) == 0
    for path in (tmp_path / "bare2/patches").iterdir():
        path.unlink()
    assert cli.main(["publish", str(tmp_path / "bare2"), "--to", str(tmp_path / "bare"), "--patches"]) == 2
    assert "has no patches to publish" in capsys.readouterr().err


def test_a_patch_of_another_model_or_task_is_refused(tasks: Path, tmp_path: Path) -> None:
    bundle = open_bundle(tasks)
    patch = make_patch(bundle, "buys")
    cases = [
        (dataclasses.replace(patch, model="0" * 64), "belongs to another model"),
        (dataclasses.replace(patch, task="likes"), "is of task 'likes' and not 'buys'"),
        (dataclasses.replace(patch, tensors=dict(list(patch.tensors.items())[1:])), "other tensors than the model's"),
        (dataclasses.replace(patch, rows=patch.rows[:, 1:], scales=patch.scales), "rows of another size"),
    ]
    for wrong, message in cases:
        patch_path(tasks, "buys").write_bytes(pack(wrong))
        with pytest.raises(BundleError, match=message) as caught:
            open_patch(bundle, "buys")
        assert "\n" not in str(caught.value)


def test_altered_in_a_thousand_ways_it_is_refused_in_one_line(tasks: Path, tmp_path: Path) -> None:
    """Cut, extended, bytes changed, with the checksum left wrong or made right again, signed or not."""
    private, public = key(tmp_path)
    publish(tasks, tmp_path / "out", sign=private, patches=True)
    bundle = open_bundle(tasks)
    content = next(path.read_bytes() for path in (tmp_path / "out/files").iterdir() if _is_buys(path))
    assert check_patch(content, bundle.manifest, "buys", [public], "it").serial == 1
    drawn = random.Random(1)
    taken = 0
    for number in range(1000):
        other = altered(content, drawn, number)
        if other == content:
            continue
        with pytest.raises(PocketRecError) as caught:
            check_patch(other, bundle.manifest, "buys", [public], "it")
        assert "\n" not in str(caught.value)
        taken += _taken(other, bundle)
    assert taken < 500


def _taken(content: bytes, bundle: Bundle) -> bool:
    """Whether it is still a whole patch, where no key is pinned; nothing else than a line may come of it."""
    told = ""
    try:
        check_patch(content, bundle.manifest, "buys", [], "it")
    except PocketRecError as error:
        told = str(error)
    assert "\n" not in told
    return not told


def _is_buys(path: Path) -> bool:
    try:
        return unpack(path.read_bytes()).task == "buys"
    except PatchError:
        return False
