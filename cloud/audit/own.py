# SPDX-License-Identifier: Apache-2.0
"""Our own runs and configurations as `Parts`: what the splitter made, as frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pocketrec.cloud.audit.case import Parts
from pocketrec.cloud.audit.recount import compared, read_log_anew
from pocketrec.cloud.base.arrays import unpack_texts
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import DataError, PocketRecError

AUDIT_FILE: Final = "audit.json"

_CLOUD, _DEVICES = Path("data", "cloud"), Path("data", "devices")


def parts_of_run(folder: Path, *, recounted: bool = True) -> Parts:
    """A run directory, finished or half done: at least ``RUN/data`` is there.

    Args:
        folder: the run directory.
        recounted: also read the log again and count it with pandas.

    Raises:
        DataError: ``RUN/data`` or config.json is missing or damaged.
    """
    config = stored_config(_json(folder / "config.json"))
    items = _lines(folder / _CLOUD / "items.txt")
    counts = _array(folder / _CLOUD / "counts.npy")[1:]
    train, _ = _sequences(folder / _CLOUD / "before.npz", items)
    after, lengths = _sequences(folder / _DEVICES / "after.npz", items)
    personal = config.split.personal
    learn, test = _learned(after, lengths, _array(folder / _DEVICES / "learn.npy"), personal)
    summary = _json(folder / _CLOUD / "summary.json")
    log, found, notes = (
        _recounted(config, train, after, summary["cut_off"], _bad(folder), items) if recounted else (None, None, ())
    )
    figures, ranks = _judged(folder)
    return Parts(
        name=f"run {folder}", train=train, test=test, learn=learn, cut_off=summary["cut_off"], recount=found,
        items=items, items_in_order=True, item_counts=counts, candidates=_candidates(folder, items),
        users=_known_users(folder), figures=figures, ranks=ranks, arrays=_numbers(folder) or None,
        masks_seen=config.evaluate.mask_seen, seed=config.seed, notes=notes, log=log,
    )  # fmt: skip


def audit_quickly(folder: Path) -> str:
    """The quick part of the audit of a run: writes ``RUN/audit.json``; what it found in one line.

    The log is not read again and nothing is fitted, so that this costs a run seconds.

    Raises:
        DataError: ``RUN/data`` is damaged.
        StorageError: the file cannot be written.
    """
    from pocketrec.cloud.audit.finding import FAIL, Verdict, summary_line
    from pocketrec.cloud.audit.table import audit

    parts = parts_of_run(folder, recounted=False)
    try:
        verdict = audit(parts, quick=True)
    except DataError as error:  # a run may be judged where an audit has nothing to compare
        verdict = Verdict(parts.name, (), {}, (str(error),))
    write_json(folder / AUDIT_FILE, verdict.to_dict())
    failed = [row.check for row in verdict.rows if row.finding.verdict == FAIL]
    words = f"failed: {', '.join(failed)}; see `pocketrec audit {folder}`" if failed else "no check failed"
    return f"audit: {words} ({summary_line(verdict.counts())})"


def parts_of_config(config: RunConfig, name: str) -> Parts:
    """The log and split of a configuration, before any training; nothing is written.

    Raises:
        PocketRecError: the log cannot be read or split as the configuration asks.
    """
    from pocketrec.cloud.data.readers import read_log
    from pocketrec.cloud.data.split import split_log

    read = read_log(config.data, config.split.column if config.split.kind == "column" else None)
    made = split_log(read, config.split, config.data)
    items = list(made.vocabulary.ids)
    train, after = (_frame(part.users, part.offsets, part.items, part.timestamps, items)
                    for part in (made.before, made.after))  # fmt: skip
    learn, test = _learned(after, made.after.lengths, made.learn, made.personal)
    log, found, notes = _recounted(config, train, after, made.cut_off, read.report.bad, items)
    return Parts(
        name=f"configuration {name}", train=train, test=test, learn=learn, cut_off=made.cut_off, items=items,
        items_in_order=True, item_counts=made.counts[1:], masks_seen=config.evaluate.mask_seen, seed=config.seed,
        log=log, recount=found, notes=notes,
    )  # fmt: skip


def _recounted(
    config: RunConfig, train: pd.DataFrame, after: pd.DataFrame, cut_off: float | None, bad: int, items: list[str]
) -> tuple[pd.DataFrame | None, dict[str, tuple[float, float]] | None, tuple[str, ...]]:
    """The log by pandas and the counts compared; or a note why that cannot be."""
    try:
        log = read_log_anew(config)
        return log, compared(config, log, train, after, items, cut_off, bad), ()
    except PocketRecError as error:
        return None, None, (f"the log was not counted again: {error}",)


def _learned(after: pd.DataFrame, lengths: np.ndarray, learn: np.ndarray, personal: bool) -> Any:
    """Later events that devices learn from (None where they do not), and those of the test."""
    if not personal:
        return None, after
    place = np.arange(len(after)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    first = place < np.repeat(learn, lengths)
    return after[first], after[~first]


def _sequences(path: Path, items: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    arrays = _npz(path)
    try:
        users = unpack_texts(arrays["user_bytes"], arrays["user_offsets"])
        frame = _frame(users, arrays["offsets"], arrays["items"], arrays["timestamps"], items)
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path} does not fit together ({error}): run `pocketrec prepare` again") from None
    return frame, np.diff(arrays["offsets"])


def _frame(
    users: np.ndarray, offsets: np.ndarray, rows: np.ndarray, times: np.ndarray, items: list[str]
) -> pd.DataFrame:
    ids = np.array(items, dtype=object)
    return pd.DataFrame({"user": np.repeat(users, np.diff(offsets)), "item": ids[rows - 1], "time": times})


def _candidates(folder: Path, items: list[str]) -> pd.DataFrame | None:
    path = folder / "candidates" / "candidates.npz"
    if not path.exists():
        return None
    arrays = _npz(path)
    users, rows = unpack_texts(arrays["user_bytes"], arrays["user_offsets"]), arrays["rows"]
    who = np.repeat(users, rows.shape[1])
    kept = rows.ravel() > 0
    return pd.DataFrame({"user": who[kept], "item": np.array(items, dtype=object)[rows.ravel()[kept] - 1]})


def _known_users(folder: Path) -> list[str] | None:
    arrays = _factors(folder)
    if not arrays:
        return None
    users: list[str] = unpack_texts(arrays["user_bytes"], arrays["user_offsets"]).tolist()
    return users


def _factors(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of the baseline ALS; nothing where there is none."""
    then = folder / "candidates" / "als.npz"  # where runs had it before the stage `baselines` came
    home = folder / "baselines" / "als"
    if home.is_dir():
        return {path.stem: _array(path) for path in sorted(home.glob("*.npy"))}
    return _npz(then) if then.exists() else {}


def _numbers(folder: Path) -> dict[str, np.ndarray]:
    """What the model and its baselines consist of."""
    found = {f"baselines/als:{key}": values for key, values in _factors(folder).items() if values.dtype.kind == "f"}
    for name in ("export/item_embeddings.npy", "export/weights.npz"):
        path = folder / name
        if path.suffix == ".npy" and path.exists():
            found[name] = _array(path)
        elif path.exists():
            found |= {f"{name}:{key}": values for key, values in _npz(path).items() if values.dtype.kind == "f"}
    return found


def _judged(folder: Path) -> tuple[dict[str, float] | None, pd.DataFrame | None]:
    """Figures of the global model in metrics.json, and the ranks that they should be of."""
    lines, metrics = folder / "fleet" / "users.jsonl", folder / "metrics.json"
    if not lines.exists() or not metrics.exists():
        return None, None
    users, ranks = [], []
    for line in lines.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        for rank in entry.get("ranks", {}).get("global", []):
            users.append(entry["user"])
            ranks.append(np.inf if rank is None else float(rank))
    figures = {name: value for name, value in _json(metrics).get("global", {}).items() if isinstance(value, float)}
    return (figures, pd.DataFrame({"user": users, "rank": ranks})) if ranks else (None, None)


def _bad(folder: Path) -> int:
    return int(_json(folder / "data" / "summary.json").get("read", {}).get("bad", 0))


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except FileNotFoundError:
        raise DataError(f"no file {path}: name a run directory in which `pocketrec prepare` is done") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run the stage that writes it again") from None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec prepare` first") from None


def _array(path: Path) -> np.ndarray:
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
        return values
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run the stage that writes it again") from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run the stage that writes it again") from None
