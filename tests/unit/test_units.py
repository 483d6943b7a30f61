"""Sizes and counts as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UnitError
from emulator.units import format_amount, format_duration, format_size, parse_count, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0), ("8192", 8192), ("256M", 256 << 20), ("1g", 1 << 30), ("2T", 2 << 40), ("64K", 65536),
        ("64KiB", 65536), ("64kb", 65536), ("12B", 12), (" 1 G ", 1 << 30), ("0x2000", 8192), (4096, 4096),
    ],
)  # fmt: skip
def test_sizes(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a size"), ("M", "not a size"), ("-1M", "not a size"), ("1.5G", "not a size"), ("1e3", "not a size"),
        ("5Q", "unknown unit 'Q'"), ("٣M", "not a size"), ("1M1", "not a size"), (-1, "negative"), (True, "not a size"),
        ("0x", "unknown unit"), ("1iB2", "not a size"),
    ],
)  # fmt: skip
def test_bad_sizes_are_refused_clearly(text: str | int, complaint: str) -> None:
    with pytest.raises(UnitError, match=complaint) as caught:
        parse_size(text)
    assert caught.value.code == "unit"
    assert "\n" not in str(caught.value)


@given(st.integers(min_value=0, max_value=1 << 64))
def test_a_formatted_size_parses_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


def test_format_takes_the_largest_exact_unit() -> None:
    assert [format_size(n) for n in (0, 1, 8192, 1 << 20, 3 << 30, 1 << 40)] == ["0", "1", "8K", "1M", "3G", "1T"]
    with pytest.raises(UnitError, match="negative"):
        format_size(-1)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("1000", 1000), ("1_000", 1000), ("5M", 5_000_000), ("2.5k", 2500), ("1G", 10**9)]
)
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1.2345K", "5T", "1e6", "_1"])
def test_bad_counts_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="count"):
        parse_count(text)


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (1023, "1023"), (1024, "1.0K"), (3250586, "3.1M"), (10433331, "9.9M"), (10433332, "10M"),
    (48 << 20, "48M"), (3 << 40, "3.0T")])
def test_amounts(number: int, text: str) -> None:
    assert format_amount(number) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 ms"), (0.0412, "41 ms"), (0.9996, "1.00 s"), (1.254, "1.25 s"), (9.994, "9.99 s"), (17.168, "17 s")])
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
