"""Completion of `sun4v`: what may follow, and bash's own functions asked for it; the scripts that are installed."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import Shell, tools

from emulator import completion, shells
from emulator.cli import make_parsers
from emulator.completion import FREE, KINDS, Answers, kind_of
from emulator.platforms import PLATFORMS
from ldmd.spcommand import POLICIES

ROOT = Path(__file__).resolve().parents[2]
PARSERS = make_parsers()[1]


def follows(*words: str) -> list[str]:
    return list(Answers(PARSERS, lambda: ("spring", "tour"), POLICIES).to(words))


@pytest.fixture(autouse=True)
def three_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    for name in ("alpha", "beta", "bravo"):
        (tmp_path / "machines" / name).mkdir(parents=True)


@pytest.mark.parametrize(("words", "found"), [
    (["pow"], ["power-off", "power-on", "power-policy"]),
    (["--"], ["--help", "--version"]),
    (["frob", ""], []),
    (["power-on", "b"], ["beta", "bravo"]),
    (["power-on", "alpha", "--en"], ["--engine"]),
    (["power-on", "--engine", ""], ["interpreter", "translator"]),
    (["power-on", "--engine=t"], ["--engine=translator"]),
    (["power-on", "--platform", "m10"], [name for name in sorted(PLATFORMS) if name.startswith("m10")]),
    (["power-on", "--memory", ""], []),
    (["power-off", "alpha", "be"], ["beta"]),
    (["run", "--cpu-arch", ""], ["generic", "migration-class1", "native", "sparc64-class1"]),
    (["run", "--platform", "t5-2"], ["t5-2"]),
    (["run", ""], []),
    (["platforms", "t4"], [name for name in sorted(PLATFORMS) if name.startswith("t4")]),
    (["lab", ""], ["down", "list", "reset", "up"]),
    (["lab", "reset", "t"], ["tour"]),
    (["lab", "up", ""], []),
    (["lab", "nothing", ""], []),
    (["faults", "arm", ""], ["alpha", "beta", "bravo", "spring", "tour"]),
    (["faults", "arm", "tour", ""], []),
    (["trace", ""], ["alpha", "beta", "bravo"]),
    (["power-policy", "alpha", "p"], ["performance"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["passwd", "al"], ["alpha"]),
])
def test_what_may_follow(words: list[str], found: list[str]) -> None:
    assert follows(*words) == found


def test_domains_are_asked_of_the_machines_that_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnPlace:
        def __init__(self, name: str) -> None:
            self.name, self.on = name, name != "bravo"

    monkeypatch.setattr(completion, "place", OnPlace)
    monkeypatch.setattr(completion, "_domains_of", lambda name: {"alpha": ["ldg1", "ldg2"], "beta": ["web"]}[name])
    monkeypatch.setattr(completion, "find_machine", lambda: OnPlace("alpha"))
    assert follows("console", "") == ["alpha/ldg1", "alpha/ldg2", "beta/web", "ldg1", "ldg2"]
    assert follows("gdb", "beta/") == ["beta/web"]
    assert follows("capture", "alpha/ldg2", "") == []


def test_of_every_argument_it_is_known_what_it_is() -> None:
    """A new metavar is thought about: it has names, or nobody but the user knows."""
    def look(command: str, parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    look(command, each)
            elif action.choices is None and action.nargs != 0:
                kind = kind_of(command, action) or action.dest
                assert kind in {*FREE, *KINDS, "LAB", "MACHINE|LAB", "POLICY"} or action.dest == "file", (command, kind)

    for name, parser in PARSERS.items():
        look(name, parser)


def test_what_is_installed_is_what_the_command_prints() -> None:
    there = {str(path.relative_to(ROOT / "packaging" / "completion")): path.read_text()
             for path in (ROOT / "packaging" / "completion").rglob("*") if path.is_file()}
    assert there == dict(shells.installed()), "run python docs/reference/generate_front.py"


BASH = """
source <(sun4v completion bash)
trial() {
    COMP_LINE=$1 COMP_POINT=${#1}
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "_$1"
    echo "${COMPREPLY[@]}"
}
compopt() { :; }
trial 'sun4v power-' sun4v power-
trial 'sun4v power-on --engine=i' sun4v power-on --engine = i
trial 'sun4v console ' sun4v console ''
trial 'ldm -m alpha unbind ' ldm -m alpha unbind ''
trial 'ldm --machine a' ldm --machine a
trial 'sun4v run ' sun4v run ''
complete -p sun4v ldm
"""


@pytest.mark.slow
@pytest.mark.nosan
def test_bash_completes_names_of_a_real_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through `sun4v completion bash`, for both programs, with a domain that is bound on a machine that is on."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    shell = Shell(tmp_path_factory.mktemp("h"))
    try:
        shell.run("emulator.cli", "power-on", "alpha", "--platform", "t4-1", "--memory", "4G")
        port = free_ports(2)
        for line in (f"add-vcc port-range={port}-{port + 1} vcc0 primary", "start-reconf primary", "set-core 1 primary",
                     "set-memory 1G primary", "stop-domain -r primary", "add-domain ldg1", "set-vcpu 1 ldg1",
                     "set-memory 256M ldg1", "bind-domain ldg1"):
            shell.run("ldmd.cli", *line.split())
        environment = {**shell.environment, "PATH": f"{tools(shell.home)}:{os.environ['PATH']}"}
        done = subprocess.run([bash, "--norc", "-c", BASH], env=environment, capture_output=True, text=True,
                              timeout=120, check=False)
    finally:
        shell.end()
    assert done.stdout.splitlines() == [
        "power-off power-on power-policy", "interpreter", "alpha/ldg1 ldg1", "ldg1 primary", "alpha", "",
        "complete -o default -F _sun4v sun4v", "complete -o default -F _ldm ldm"], done
    assert not done.stderr


@pytest.mark.parametrize("name", shells.SHELLS)
def test_the_scripts_are_right_syntax(name: str, tmp_path: Path) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "script").write_text(shells.script(name, "sun4v"))
    flag = "--no-execute" if name == "fish" else "-n"
    done = subprocess.run([program, flag, str(tmp_path / "script")], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
