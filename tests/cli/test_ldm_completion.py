"""Completion: what may follow, and the scripts in the shells they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ldm_samples import NOW, configuration, domain, guest, primary
from ldm_support import InMemory
from manager_support import make_manager

from emulator.shells import SHELLS, script
from ldmd.cli.completion import answer
from ldmd.cli.connection import Connection
from ldmd.cli.grammar import COMMANDS
from ldmd.manager import Manager
from ldmd.messages import RefusedError


@pytest.fixture(scope="module")
def manager() -> Manager:
    made = make_manager()
    made._configuration = configuration(primary(), guest("ldg1", 1, started_at=NOW), domain("ldg2"))
    return made


def follows(manager: Manager, *words: str) -> list[str]:
    return list(answer(words, lambda: InMemory(manager)))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["list-dom"], ["list-domain"]),
        (["remove-v"], ["remove-variable", "remove-vcc", "remove-vcpu", "remove-vdisk", "remove-vdpcc", "remove-vdpcs",
                        "remove-vds", "remove-vdsdev", "remove-vhba", "remove-vnet", "remove-vsan", "remove-vsw"]),
        (["--c"], ["--completion"]),
        (["stop", "ldg"], ["ldg1", "ldg2"]),
        (["stop", "-f", "ldg1", "ldg"], ["ldg1", "ldg2"]),
        (["unbind", ""], ["ldg1", "ldg2", "primary"]),
        (["unbind", "ldg1", ""], []),
        (["stop", "-"], ["--json", "-a", "-f", "-h", "-m", "-n", "-q", "-r", "-t"]),
        (["add-vdisk", "t"], ["timeout="]),
        (["add-vdisk", "timeout=5", "d0", ""], ["id=", "iso@primary-vds0", "vol1@primary-vds0"]),
        (["add-vdisk", "d0", "vol1@primary-vds0", "ld"], ["ldg1", "ldg2"]),
        (["add-vnet", "n0", "pri"], ["primary-vsw0", "priority="]),
        (["remove-vnet", "vn"], ["vnet0"]),
        (["remove-vdisk", "vdisk0", "p"], ["primary"]),
        (["set-domain", "failure-policy="], ["failure-policy=ignore", "failure-policy=panic", "failure-policy=reset",
                                             "failure-policy=stop"]),
        (["set-domain", "master=l"], ["master=ldg1", "master=ldg2"]),
        (["set-vdisk", "volume=v"], ["volume=vol1@primary-vds0"]),
        (["ls", "-o", "me"], ["memory"]),
        (["ls", "-o", "disk,ne"], ["disk,network"]),
        (["ls-devices", "c"], ["core", "cpu", "crypto"]),
        (["set-var", "a=1", "l"], ["ldg1", "ldg2"]),
        (["set-spconfig", ""], ["factory-default"]),
        (["create-vf", "/SYS/MB/NET0/"], ["/SYS/MB/NET0/IOVNET.PF0", "/SYS/MB/NET0/IOVNET.PF1"]),
        (["cancel-op", "m"], ["memdr", "migration"]),
        (["--machine", "alpha", "unbind", "ldg"], ["ldg1", "ldg2"]),
        (["--help", "add-vd"], ["add-vdisk", "add-vdpcc", "add-vdpcs", "add-vds", "add-vdsdev"]),
        (["--completion", ""], ["bash", "fish", "zsh"]),
        (["frob", ""], []),
        (["add-domain", ""], ["boot-policy=", "cpu-arch=", "extended-mapin-space=", "failure-policy=", "hostid=",
                              "mac-addr=", "master=", "max-cores=", "perf-counters=", "rc-add-policy=",
                              "shutdown-group=", "uuid="]),
    ],
)
def test_what_may_follow(manager: Manager, words: list[str], found: list[str]) -> None:
    assert follows(manager, *words) == found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_completed(manager: Manager, name: str) -> None:
    for words in ([name, ""], [name, "-"], [name, "x", ""], [name, "x", "y", ""]):
        for each in follows(manager, *words):
            assert each and "\n" not in each


def test_without_a_manager_the_words_of_the_grammar_are_left() -> None:
    def nobody() -> Connection:
        raise RefusedError("rpc.connect", "nobody")

    assert list(answer(["stop", ""], nobody)) == []
    assert list(answer(["add-vdisk", ""], nobody)) == ["id=", "timeout="]


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with an `ldm` that answers without a manager."""
    (tmp_path / "ldm").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; from ldmd.cli import main; sys.exit(main())' \"$@\"\n")
    (tmp_path / "ldm").chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def ran(words: list[str], path: str, tmp_path: Path) -> str:
    environment = {**os.environ, "PATH": path, "S4V_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout


BASH_TRIAL = """
source <(ldm --completion bash)
trial() {
    COMP_LINE=$1 COMP_POINT=${#1}
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _ldm
    echo "${COMPREPLY[@]}"
}
compopt() { :; }
trial 'ldm unbi' ldm unbi
trial 'ldm set-domain failure-policy=p' ldm set-domain failure-policy = p
trial 'ldm set-domain failure-policy=' ldm set-domain failure-policy =
trial 'ldm ls -o disk,n' ldm ls -o disk,n
trial 'ldm add-vdisk tim' ldm add-vdisk tim
complete -p ldm
"""


def test_bash(path: str, tmp_path: Path) -> None:
    """Words are cut at = as bash does; what is offered is what is to stand behind the cut."""
    out = ran([shell("bash"), "--norc", "-c", BASH_TRIAL], path, tmp_path).splitlines()
    assert out == ["unbind unbind-domain", "panic", "ignore panic reset stop", "disk,network", "timeout=",
                   "complete -o default -F _ldm ldm"]


def test_zsh(path: str, tmp_path: Path) -> None:
    trial = ("compdef() { :; }; compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -r -- ${(j:,:)@}; }; "
             "source <(ldm --completion zsh); words=(ldm add-vdisk t); CURRENT=3; _ldm; "
             "words=(ldm ls -o di); CURRENT=4; _ldm")
    out = ran([shell("zsh"), "-f", "-c", trial], path, tmp_path).split()
    assert out == ["timeout=", "disk"]


def test_fish(path: str, tmp_path: Path) -> None:
    trial = "ldm --completion fish | source; complete -C 'ldm unbi'; complete -C 'ldm ls -o di'"
    out = ran([shell("fish"), "--no-config", "-c", trial], path, tmp_path).split()
    assert out == ["unbind", "unbind-domain", "disk"]


@pytest.mark.parametrize("name", SHELLS)
def test_scripts_are_right_syntax(name: str, tmp_path: Path) -> None:
    program = shell(name)
    (tmp_path / "script").write_text(script(name, "ldm"))
    flag = "--no-execute" if name == "fish" else "-n"
    done = subprocess.run([program, flag, str(tmp_path / "script")], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_targets_are_the_machines_of_the_home(manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    for name in ("alpha", "beta", "bravo"):
        (tmp_path / "machines" / name).mkdir(parents=True)
    assert follows(manager, "migrate-domain", "ldg1", "b") == ["beta", "bravo"]
    assert follows(manager, "migrate", "-c", "ldg1", "") == ["alpha", "beta", "bravo"]
    assert follows(manager, "migrate", "-p", "pw", "ld") == ["ldg1", "ldg2"]
