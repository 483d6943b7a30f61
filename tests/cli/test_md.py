"""`sun4v md`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.cli import main
from emulator.mdesc import build, decode, encode, plain_resources
from emulator.platforms import find_platform


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["md", "--platform", "m7-8", "--vcpus", "9", "--memory", "2G", "--cpu-arch", "generic"]) == 0
    out = capsys.readouterr().out
    assert '\n  name = "ORCL,SPARC-M7-8"\n' in out
    assert "\n/cpus/cpu[8]\n" in out
    assert "\n/cpus/cpu[9]\n" not in out
    assert "  size = 2147483648\n" in out
    assert '  compatible = {"SUNW,sun4v-cpu", "sun4v"}\n' in out
    assert "  back -> " not in out


def test_json_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["md", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert nodes[0]["node"] == "root"
    assert main(["md", "--back"]) == 0
    assert "  back -> /cpus\n" in capsys.readouterr().out


def test_binary_read_and_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = find_platform("t5-2")
    path, other = tmp_path / "md.bin", tmp_path / "other.bin"
    assert main(["md", "--vcpus", "2", "--binary", str(path)]) == 0
    assert path.read_bytes() == encode(build(server, plain_resources(server, 2, 256 << 20)))
    assert main(["md", "--read", str(path), "--binary", str(other)]) == 0
    assert other.read_bytes() == path.read_bytes()
    assert main(["md", "--vcpus", "2", "--diff", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["md", "--vcpus", "1", "--diff", str(path)]) == 1
    assert capsys.readouterr().out == "~ /platform: max-cpus 1 -> 2\n+ /cpus/cpu[1]\n"


def test_binary_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["md", "--binary", "-"]) == 0
    assert decode(capfdbinary.readouterr().out).node("cpu").get("id") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--platform", "vax"], "unknown platform 'vax'"),
        (["--vcpus", "0"], "a domain needs a vcpu"),
        (["--vcpus", "257"], "strands 0 to 255"),
        (["--memory", "2T"], "at most 1T of memory"),
        (["--cpu-arch", "sparc64-class1"], "not available on SPARC T5"),
    ],
)
def test_impossible_domain(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["md", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sun4v: ")
    assert message in error
    assert error.count("\n") == 1


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.bin"
    bad.write_bytes(bytes(64))
    assert main(["md", "--read", str(bad)]) == 2
    assert f"sun4v: {bad}: transport version 0.0 is not 1.0" in capsys.readouterr().err
    assert main(["md", "--read", str(tmp_path / "missing")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--memory", "x"], ["--vcpus", "many"], ["--json", "--binary", "x"], ["extra"]])
def test_bad_command_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["md", *arguments])
    assert exit_.value.code == 2
