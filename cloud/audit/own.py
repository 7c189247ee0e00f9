"""Our own runs and configurations as `Parts`: what the splitter made, and beside it what pandas finds in the log."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pocketrec.cloud.arrays import unpack_texts
from pocketrec.cloud.audit.case import Parts
from pocketrec.cloud.audit.tables import to_times
from pocketrec.cloud.config import RunConfig, config_from_dict
from pocketrec.device.errors import ConfigError, DataError, PocketRecError
from pocketrec.device.files import write_atomic

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
    config = config_from_dict(_json(folder / "config.json"))
    items = _lines(folder / _CLOUD / "items.txt")
    counts = _array(folder / _CLOUD / "counts.npy")[1:]
    train, _ = _sequences(folder / _CLOUD / "before.npz", items)
    after, lengths = _sequences(folder / _DEVICES / "after.npz", items)
    personal = config.split.kind != "column"
    learn, test = _learned(after, lengths, _array(folder / _DEVICES / "learn.npy"), personal)
    summary = _json(folder / _CLOUD / "summary.json")
    notes: tuple[str, ...] = ()
    found: dict[str, tuple[float, float]] | None = None
    log: pd.DataFrame | None = None
    if recounted:
        try:
            log = read_log_anew(config)
            found = compared(config, log, train, after, items, summary["cut_off"], _bad(folder))
        except PocketRecError as error:
            notes = (f"the log was not counted again: {error}",)
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
    write_atomic(folder / AUDIT_FILE, (json.dumps(verdict.to_dict(), indent=1) + "\n").encode("utf-8"))
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
    log = read_log_anew(config)
    return Parts(
        name=f"configuration {name}", train=train, test=test, learn=learn, cut_off=made.cut_off, items=items,
        items_in_order=True, item_counts=made.counts[1:], masks_seen=config.evaluate.mask_seen, seed=config.seed,
        log=log, recount=compared(config, log, train, after, items, made.cut_off, read.report.bad),
    )  # fmt: skip


def read_log_anew(config: RunConfig) -> pd.DataFrame:
    """The log of a configuration by pandas: ``user``, ``item``, ``time`` and, for kind column, ``label``.

    Raises:
        DataError: it is missing or unreadable.
    """
    data, label = config.data, config.split.column if config.split.kind == "column" else None
    if data.set == "synthetic" and not data.path:
        from pocketrec.cloud.data.synthetic import generate

        log = generate(**data.synthetic)
        texts = {"user": log.users.values[log.users.codes], "item": log.items.values[log.items.codes]}
        return pd.DataFrame({**texts, "time": log.timestamps})
    from pocketrec.cloud.data.formats import sniff
    from pocketrec.cloud.data.location import find_log

    path = find_log(data)
    layout = sniff(path, data)
    if layout.format == "parquet":
        table = pd.read_parquet(path)
        layout_find = {str(name): str(name) for name in table}.get
    else:
        names = [name or f"_{place}" for place, name in enumerate(layout.columns)]
        try:
            table = pd.read_csv(
                path, sep=layout.separator, header=None, names=names, skiprows=layout.header, dtype=str,
                keep_default_na=False, encoding="utf-8", encoding_errors="replace", on_bad_lines="skip",
                index_col=False, compression="gzip" if layout.gzip else None, quoting=0 if layout.quoted else 3,
            )  # fmt: skip
        except (ValueError, OSError) as error:
            raise DataError(f"cannot read {path} with pandas ({' '.join(str(error).split())}): mend it") from None
        layout_find = None
    wanted = {"user": data.user, "item": data.item, "time": data.timestamp, **({"label": label} if label else {})}

    def column(name: str) -> pd.Series:
        found = layout_find(name) if layout_find else layout.find(name, "the column in [data]", path)
        if found is None:
            raise DataError(f"{path} has no column {name!r}: set it in [data]")
        return table[found]

    frame = pd.DataFrame({name: column(called) for name, called in wanted.items()})
    for called, values in data.keep.items():
        frame = frame[column(called).reindex(frame.index).astype(str).isin(values)]
    frame = frame[(frame["user"] != "") & (frame["item"] != "") & frame[["user", "item"]].notna().all(axis=1)]
    frame["user"], frame["item"] = frame["user"].astype(str), frame["item"].astype(str)
    frame["time"] = _tolerant_times(frame["time"], str(path))
    return frame.dropna(subset=["time"]).reset_index(drop=True)


def compared(
    config: RunConfig, log: pd.DataFrame, train: pd.DataFrame, after: pd.DataFrame, items: list[str],
    cut_off: float | None, bad: int,
) -> dict[str, tuple[float, float]]:
    """Counts of the split, each beside pandas' own count of the log.

    A log with rows that cannot be read is compared within their number, for pandas may take one that was left out.
    """  # fmt: skip
    early, cut = cut_anew(config, log)
    known = log.loc[early, "item"].value_counts()
    known = known[known >= config.data.min_item_count]
    in_vocabulary = log["item"].isin(known.index)
    before, later = log[early & in_vocabulary], log[~early & in_vocabulary]
    counted = train["item"].value_counts().reindex(known.index).fillna(0)
    pairs: dict[str, tuple[float, float]] = {
        "events before": (len(train), len(before)),
        "events after": (len(after), len(later)),
        "users before": (train["user"].nunique(), before["user"].nunique()),
        "users after": (after["user"].nunique(), later["user"].nunique()),
        "items": (len(items), len(known)),
        "sum of times before": (float(train["time"].sum()), float(before["time"].sum())),
        "items with another count": (float((counted != known).sum()), 0.0),
    }  # fmt: skip
    if cut is not None and cut_off is not None:
        pairs["cut-off"] = (float(cut_off), cut)
    if bad:
        del pairs["sum of times before"], pairs["items with another count"]
        pairs.pop("cut-off", None)
        pairs = {name: (said, said if abs(said - found) <= bad else found) for name, (said, found) in pairs.items()}
    return pairs


def cut_anew(config: RunConfig, log: pd.DataFrame) -> tuple[pd.Series, float | None]:
    """Which events of a log the cloud sees, and the cut-off, by pandas."""
    split = config.split
    if split.kind == "column":
        return ~log["label"].isin(split.test_values), None
    if split.kind == "per_user":
        place = log.sort_values("time", kind="stable").groupby("user").cumcount().reindex(log.index)
        size = log.groupby("user")["item"].transform("size")
        return place < (size * split.quantile + 1e-9).astype(int).clip(lower=1), None
    if split.kind == "quantile":
        cut = float(log["time"].sort_values().iloc[min(int(len(log) * split.quantile + 1e-9), len(log) - 1)])
    else:
        cut = moment(split.time, log["time"])
    return log["time"] < cut, cut


def moment(text: str, times: pd.Series) -> float:
    """A number as it stands, or an ISO 8601 date in the unit of the times.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is neither a number nor an ISO 8601 date: give a time of the log") from None
    seconds = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    size = float(times.abs().median())
    return seconds * (1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9)


def _tolerant_times(column: pd.Series, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() * 2 >= len(numbers):
        return numbers
    dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    return to_times(dates.dropna(), where).reindex(column.index) if dates.notna().any() else numbers


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
    path = folder / "candidates" / "als.npz"
    if not path.exists():
        return None
    arrays = _npz(path)
    users: list[str] = unpack_texts(arrays["user_bytes"], arrays["user_offsets"]).tolist()
    return users


def _numbers(folder: Path) -> dict[str, np.ndarray]:
    """What the model and its baseline consist of."""
    found = {}
    for name in ("candidates/als.npz", "export/item_embeddings.npy", "export/weights.npz"):
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
