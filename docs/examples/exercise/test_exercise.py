"""A student exercise with a score: two words of Forth, typed at the ok prompt of a server of their own."""

import re

import pytest

OK = re.compile(r"\{\d+\} ok \Z")
pytestmark = pytest.mark.sun4v(
    budget="50M", memory="32M", variables={"auto-boot?": "false"}, prompt=OK, ready=OK,
)


def result(console, line):
    return console.do(f"decimal {line} .").split()[-1:]


@pytest.mark.points(3)
def test_gcd(answer):
    assert result(answer, "12 18 gcd") == ["6"]


@pytest.mark.points(2)
def test_gcd_of_zero(answer):
    assert result(answer, "0 5 gcd") == ["5"]


@pytest.mark.points(3)
def test_factorial(answer):
    assert result(answer, "10 fact") == ["3628800"]


@pytest.mark.points(2)
def test_factorial_of_zero_is_one(answer):
    assert result(answer, "0 fact") == ["1"]
