# SPDX-License-Identifier: Apache-2.0
"""A log of ours read, cut and counted by pandas alone, beside what the splitter says of it."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pandas as pd

from pocketrec.cloud.audit.tables import to_times
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import ConfigError, DataError


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
        try:
            table = pd.read_parquet(path)
        except Exception as error:  # the engine raises kinds of its own
            raise DataError(f"cannot read {path} ({' '.join(str(error).split())}): correct it") from None
        table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()  # a column may be the index
        layout_find = {str(name): str(name) for name in table}.get
    else:
        compression: Any = layout.packing or None  # the names of packings are pandas' own
        names = [name or f"_{place}" for place, name in enumerate(layout.columns)]
        try:
            table = pd.read_csv(
                path, sep=layout.separator, header=None, names=names, skiprows=layout.header, dtype=str,
                keep_default_na=False, encoding="utf-8", encoding_errors="replace", on_bad_lines="skip",
                index_col=False, compression=compression, quoting=0 if layout.quoted else 3,
            )  # fmt: skip
        except (ValueError, OSError) as error:
            raise DataError(f"cannot read {path} with pandas ({' '.join(str(error).split())}): correct it") from None
        layout_find = None
    timed = {"time": data.timestamp} if data.timestamp else {}
    wanted = {"user": data.user, "item": data.item, **timed, **({"label": label} if label else {})}

    def column(name: str) -> pd.Series:
        found = layout_find(name) if layout_find else layout.find(name, "the column in [data]", path)
        if found is None:
            raise DataError(f"{path} has no column {name!r}: set it in [data]")
        return table[found]

    frame = pd.DataFrame({name: column(called) for name, called in wanted.items()})
    for called, values in data.keep.items():
        frame = frame[column(called).reindex(frame.index).astype(str).isin(values)]
    frame["user"], frame["item"] = (frame[name].where(frame[name].notna(), "").astype(str) for name in ("user", "item"))
    frame = frame[(frame["user"] != "") & (frame["item"] != "")].copy()
    if not timed:  # the rows are in the order of time
        frame["time"] = range(len(frame))
    elif data.time_format:
        dates = pd.to_datetime(frame["time"], format=data.time_format, utc=True, errors="coerce")
        frame["time"] = to_times(dates.dropna(), str(path)).reindex(frame.index)
    else:
        frame["time"] = _tolerant_times(frame["time"], str(path))
    frame = frame.dropna(subset=["time"]).reset_index(drop=True)
    return sessions_anew(frame, config.split.gap) if config.split.gap else frame


def sessions_anew(log: pd.DataFrame, gap: float) -> pd.DataFrame:
    """The log with a session in place of each user, by pandas: ``USER#1``, ``USER#2``, ..."""
    size = float(log["time"].median())
    unit = next((unit for unit in (1.0, 1e3, 1e6, 1e9) if 1e8 * unit <= size < 5e9 * unit), 1.0)
    ordered = log.sort_values("time", kind="stable")
    pause = ordered.groupby("user")["time"].diff()
    number = (pause > gap * unit).astype(int).groupby(ordered["user"]).cumsum().reindex(log.index)
    return log.assign(user=[f"{user}#{before + 1}" for user, before in zip(log["user"], number, strict=True)])


def compared(
    config: RunConfig,
    log: pd.DataFrame,
    train: pd.DataFrame,
    after: pd.DataFrame,
    items: list[str],
    cut_off: float | None,
    bad: int,
) -> dict[str, tuple[float, float]]:
    """Counts of the split, each beside pandas' own count of the log.

    A log with rows that cannot be read is compared within their number, for pandas may take one that was left out.
    """  # fmt: skip
    early, cut = cut_anew(config, log)
    if cut is not None:  # what a session that began before it has after it is on neither side
        inside = ~early | (log["time"] < cut)
        log, early = log[inside], early[inside]
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
        "sum of times before": (_sum(train["time"]), _sum(before["time"])),
        "items with another count": (float((counted != known).sum()), 0.0),
    }  # fmt: skip
    if cut is not None and cut_off is not None:
        pairs["cut-off"] = (cut_off, cut)
    if log["time"].dtype.kind == "f":  # text becomes a fraction by more than one rule, which differ in the last bit
        for name in pairs.keys() & {"sum of times before", "cut-off"}:
            said, found = pairs[name]
            pairs[name] = (said, said if math.isclose(said, found, rel_tol=1e-12) else found)
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
    if split.kind == "sessions":
        began = log.groupby("user")["time"].transform("min")
        cut = began.sort_values().iloc[min(int(len(log) * split.quantile + 1e-9), len(log) - 1)].item()
        return began < cut, cut
    if split.kind == "quantile":
        cut = log["time"].sort_values().iloc[min(int(len(log) * split.quantile + 1e-9), len(log) - 1)].item()
    else:
        cut = moment(split.time, log["time"])
    return log["time"] < cut, cut


def moment(text: str, times: pd.Series) -> float:
    """A number as it stands, or an ISO 8601 date in the unit of the times.

    Raises:
        ConfigError: it is neither.
    """
    try:
        number = float(text)
        return int(number) if number.is_integer() else number  # whole ones exactly, for times in nanoseconds
    except (ValueError, OverflowError):
        pass
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is neither a number nor an ISO 8601 date: give a time of the log") from None
    seconds = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    size = float(times.abs().median())
    return seconds * (1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9)


def _sum(times: pd.Series) -> float:
    """Sum in an order of its own, so that equal times have equal sums."""
    return float(times.astype("float64").sort_values().to_numpy().sum())


def _tolerant_times(column: pd.Series, where: str) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return to_times(column.dropna(), where).reindex(column.index)
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() * 2 >= len(numbers):
        return numbers
    dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    return to_times(dates.dropna(), where).reindex(column.index) if dates.notna().any() else numbers
