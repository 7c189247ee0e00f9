# SPDX-License-Identifier: Apache-2.0
"""A file with a header is read by its header; a shape without header is assumed only where the first line has it."""

from __future__ import annotations

import pytest
from case_logs import Read, events, expected, rows, table

from pocketrec.device.base.errors import DataError

LINES = rows()


def numbers(count: int = 30) -> list[tuple[str, str, str]]:
    return [(str(100 + n % 4), str(n * 7 % 5), str(1_600_000_000 + n)) for n in range(count)]


def named(columns: str, separator: str = "\t", **more: str) -> str:
    """A file of numbers with columns in this order; `more` gives the others their values."""
    fields = columns.split()
    whole = [{"user": user, "item": item, "timestamp": time, **more} for user, item, time in numbers()]
    return separator.join(fields) + "\n" + "".join(separator.join(row[f] for f in fields) + "\n" for row in whole)


WITH_HEADER = {
    "four numeric columns as in u.data, the price last": named("user item timestamp price", price="499"),
    "item before user": named("item user price timestamp", price="3"),
    "item before user, time third": named("item user timestamp price", price="12.5"),
    "TSV of three columns": named("timestamp item user"),
    "five columns as in UserBehavior": named("item user cat1 behavior timestamp", ",", cat1="7", behavior="pv"),
    "the same, semicolons": named("item user cat1 behavior timestamp", ";", cat1="7", behavior="buy"),
    "a digit in a name of the header": named("item timestamp user x2", ",", x2="0"),
    "separators in values": named("item user timestamp note", ",", note="a::b"),
    "pipes, commas in a value": named("item|user|timestamp|note".replace("|", " "), "|", note="a,b,c,d,e"),
    "byte-order mark": "\ufeff" + named("item user price timestamp", price="3"),
    "blank lines first": "\n \n" + named("item user price timestamp", price="3"),
    "one column is empty everywhere": named("item user price timestamp", price=""),
}


@pytest.mark.parametrize("case", WITH_HEADER)
def test_a_header_is_honoured(read: Read, case: str) -> None:
    log = read(WITH_HEADER[case])
    assert events(log) == expected(numbers())
    assert (log.report.rows, log.report.bad) == (30, 0)


def test_names_that_the_configuration_gives_are_looked_for_in_the_header(read: Read) -> None:
    content = named("userID itemID rating timestamp", userID="7", itemID="8", rating="4.0")
    assert set(events(read(content, user="userID", item="itemID"))) == {("7", "8", int(t)) for _, _, t in numbers()}


def test_a_header_of_numbers_is_one_where_the_configuration_names_them(read: Read) -> None:
    """As pandas writes columns without names: the first line has the shape of u.data."""
    content = "0\t1\t2\t3\n" + "".join(f"{item}\t{user}\t5\t{time}\n" for user, item, time in numbers())
    log = read(content, user="1", item="0", timestamp="3")
    assert (events(log), log.report.rows) == (expected(numbers()), 30)


@pytest.mark.parametrize("separator", ["\t", "::"])
def test_movielens_without_header_is_read_as_published(read: Read, separator: str) -> None:
    content = "".join(f"{user}{separator}{item}{separator}3{separator}{time}\n" for user, item, time in numbers())
    log = read(content, "u.data")
    assert (events(log), log.report.rows) == (expected(numbers()), 30)


def test_items_with_two_colons_stay_csv(read: Read) -> None:
    lines = [(user, f"app::{item}", time) for user, item, time in LINES]
    assert events(read(table(lines))) == expected(lines)


def test_ratings_csv_with_quotes_and_other_separators(read: Read) -> None:
    for separator in ",;\t":
        header = separator.join(f'"{name}"' for name in ("movieId", "userId", "rating", "timestamp"))
        body = "".join(separator.join((item, user, "3.5", time)) + "\n" for user, item, time in numbers())
        assert events(read(header + "\n" + body)) == expected(numbers()), separator


def test_a_name_with_a_token_in_it_is_no_recbole_file(read: Read) -> None:
    lines = [(*row, "quoted, as .inter files cannot") for row in LINES]
    assert events(read(table(lines, ("user", "item", "timestamp", "csrf:token")))) == expected(LINES)


def test_a_first_row_of_another_shape_is_refused_with_what_the_others_look_like(read: Read) -> None:
    with pytest.raises(DataError, match=r"no column 'user' .*later lines look like taobao: data\.format"):
        read("7,11,3\n" + "7,11,3,pv,100\n" * 9)
    assert len(read("7,11,3\n" + "7,11,3,pv,100\n" * 9, format="taobao")) == 9


def test_the_separator_is_the_one_that_gives_the_names(read: Read) -> None:
    content = "user;item;timestamp;a,b,c,d,e\n" + "".join(f"{u};{i};{t};x\n" for u, i, t in LINES)
    assert events(read(content)) == expected(LINES)
