"""Configuration variables: every type's good and bad values, defaults, what is kept, who is told."""

from __future__ import annotations

import pytest

from emulator.errors import StateError
from emulator.firmware.variables import BY_NAME, COUNT_LIMIT, TABLE, VariableError, Variables


def test_names_are_unique_and_defaults_are_values() -> None:
    assert len(BY_NAME) == len(TABLE)
    for row in TABLE:
        assert row.parse(row.default) == row.default if row.kind != "bytes" else True
        assert row.about


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind == "bool"], ids=lambda row: row.name)
def test_bool(row) -> None:
    variables = Variables()
    other = "false" if row.default == "true" else "true"
    variables.set(row.name, f" {other.upper()} ")
    assert variables.get(row.name) == other
    assert variables.flag(row.name) is (other == "true")
    for bad in ("", "1", "yes", "truee", "true false"):
        with pytest.raises(VariableError) as caught:
            variables.set(row.name, bad)
        assert caught.value.choices == ("true", "false")
    assert variables.get(row.name) == other


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind == "enum"], ids=lambda row: row.name)
def test_enum(row) -> None:
    variables = Variables()
    for choice in row.choices:
        variables.set(row.name, choice)
        assert variables.get(row.name) == choice
    for bad in ("", "nonesuch", "none,min", str(len(row.choices))):
        with pytest.raises(VariableError) as caught:
            variables.set(row.name, bad)
        assert caught.value.choices == row.choices


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind == "int"], ids=lambda row: row.name)
def test_int(row) -> None:
    variables = Variables()
    variables.set(row.name, "0x0b")
    assert variables.get(row.name) == "11"
    variables.set(row.name, str(row.limit))
    assert variables.get(row.name) == str(row.limit)
    for bad in ("", "-1", "0x", "12z", "1 2", "1_0", "²", str(row.limit + 1), "9" * 30, "0x" + "f" * 19):
        with pytest.raises(VariableError):
            variables.set(row.name, bad)
    assert variables.get(row.name) == str(row.limit)


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in ("string", "bytes")], ids=lambda row: row.name)
def test_text(row) -> None:
    variables = Variables()
    longest = "x" * row.limit
    variables.set(row.name, longest)
    assert variables.get(row.name) == longest
    with pytest.raises(VariableError):
        variables.set(row.name, longest + "x")
    assert variables.get(row.name) == longest


def test_password() -> None:
    variables = Variables()
    variables.set("security-password", "8 chars!")
    for bad in ("nine chars", "tab\t", "\xe9"):
        with pytest.raises(VariableError):
            variables.set("security-password", bad)
    assert variables.get("security-password") == "8 chars!"


def test_only_what_differs_is_kept_and_changes_are_told() -> None:
    told: list[tuple[str, str | None]] = []
    variables = Variables(changed=lambda name, value: told.append((name, value)))
    variables.set("auto-boot?", "false")
    variables.set("auto-boot?", "false")
    variables.set("screen-#rows", "0x22")  # its default, 34
    assert variables.save() == {"auto-boot?": "false"}
    variables.set("boot-file", "-s")
    variables.set_default("auto-boot?")
    assert variables.save() == {"boot-file": "-s"}
    assert told == [("auto-boot?", "false"), ("boot-file", "-s"), ("auto-boot?", None)]


def test_set_defaults_leaves_security_alone() -> None:
    variables = Variables({"security-mode": "full", "security-password": "pw", "boot-file": "x", "mine": "1"})
    variables.set_defaults()
    assert variables.save() == {"security-mode": "full", "security-password": "pw"}


def test_unknown_variables_are_kept_but_not_made() -> None:
    variables = Variables({"site-label": "rack 3"})
    assert variables.get("site-label") == "rack 3"
    assert variables.names()[-1] == "site-label"
    for action in (lambda: variables.set("site-label", "x"), lambda: variables.get("other"),
                   lambda: variables.set_default("other")):  # fmt: skip
        with pytest.raises(VariableError, match="Unknown option: "):
            action()
    variables.set_default("site-label")
    assert "site-label" not in variables


def test_reboot_command_is_taken_once() -> None:
    variables = Variables()
    variables.outside("reboot-command", "boot disk -s")
    assert variables.take_reboot_command() == "boot disk -s"
    assert variables.take_reboot_command() == ""
    assert variables.save() == {}


def test_changes_from_outside_are_checked_and_not_echoed() -> None:
    told: list[str] = []
    seen: list[str] = []
    variables = Variables(changed=lambda name, value: told.append(name))
    variables.watch("test", seen.append)
    variables.outside("auto-boot?", "false")
    variables.outside("site", "x")
    variables.outside("auto-boot?", None)
    assert variables.save() == {"site": "x"}
    assert (told, seen) == ([], ["auto-boot?", "site", "auto-boot?"])
    for name, value in (("auto-boot?", "maybe"), ("", "x"), ("a b", "x"), ("n" * 64, "x"), ("a\n", "x"),
                        ("big", "x" * 8193)):  # fmt: skip
        with pytest.raises(VariableError):
            variables.outside(name, value)


def test_saving_and_loading() -> None:
    variables = Variables({"boot-device": "net", "auto-boot?": "true"})
    assert variables.save() == {"boot-device": "net"}  # auto-boot? is at its default
    assert Variables(variables.save()).save() == variables.save()
    for bad in ({"auto-boot?": "x"}, {"a": 1}, {1: "a"}, {f"v{n}": "x" for n in range(COUNT_LIMIT + 1)}, ["a"]):
        with pytest.raises(StateError):
            variables.load(bad)  # type: ignore[arg-type]
    assert variables.save() == {"boot-device": "net"}


def test_lenient_leaves_out_what_is_no_value() -> None:
    variables = Variables.lenient({"auto-boot?": "perhaps", "boot-file": "-v", "x": "y", "a b": "z"})
    assert variables.save() == {"boot-file": "-v", "x": "y"}


def test_too_many_from_outside() -> None:
    variables = Variables()
    for number in range(COUNT_LIMIT):
        variables.outside(f"v{number}", "x")
    with pytest.raises(VariableError):
        variables.outside("one-more", "x")
    variables.outside("v0", "changed")
    assert variables.get("v0") == "changed"
