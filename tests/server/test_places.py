"""Where machines are, and whether they are on: names, roots, process files, which machine is meant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulator import places
from emulator.places import PlaceError, UnclearMachineError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    return tmp_path


def test_everything_is_below_home(root: Path) -> None:
    place = places.place("alpha")
    assert place.hvctl == root / "run/alpha/hvctl.sock" and place.rpc == root / "run/alpha/ldmd.sock"
    assert place.store == root / "machines/alpha/ldmd/store.sqlite"
    assert place.console_log("ldg1") == root / "machines/alpha/console/ldg1/console-log"


def test_without_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S4V_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    place = places.place("a")
    assert place.state == tmp_path / "s/sun4v/a" and place.run == tmp_path / "r/sun4v/a"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    place = places.place("a")
    assert place.state == tmp_path / ".local/state/sun4v/a"
    assert place.run == Path(f"/tmp/sun4v-{os.geteuid()}/a")


@pytest.mark.parametrize("name", ["", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", "x" * 65, "a\0"])
def test_bad_names(name: str) -> None:
    with pytest.raises(PlaceError):
        places.place(name)


def test_a_socket_path_has_107_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = places.SOCKET_PATH_BYTES - len("/run/a/hvctl.sock")
    monkeypatch.setenv("S4V_HOME", "/" + "h" * (room - 1))
    places.check_socket_path(places.place("a").hvctl)
    monkeypatch.setenv("S4V_HOME", "/" + "h" * room)
    with pytest.raises(PlaceError, match=r"107 bytes, and this one 108; set S4V_HOME"):
        places.place("a").make()


def test_a_process_file_is_held_as_long_as_its_process_lives(root: Path) -> None:
    place = places.place("alpha")
    place.make()
    assert places.holder(place.machine_pid) is None and not place.on and not place.crashed
    code = "import sys; from pathlib import Path; from emulator import places\n" \
           "held = places.hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"  # fmt: skip
    argv = [sys.executable, "-c", code, str(place.machine_pid)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        assert places.holder(place.machine_pid) == process.pid and place.on
        with pytest.raises(PlaceError, match=f"held by process {process.pid}"):
            places.hold(place.machine_pid)
        assert places.find_machine() == place
        process.kill()
    assert not place.on and place.crashed
    held = places.hold(place.machine_pid)
    assert place.on and not place.crashed
    held.release()
    held.release()
    assert not place.on and not place.crashed


def test_which_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnclearMachineError, match="no machine is on"):
        places.find_machine()
    held = []
    for name in ("beta", "alpha"):
        places.place(name).make()
        held.append(places.hold(places.place(name).machine_pid))
    (root / "run" / ".hidden").mkdir()
    assert places.machine_names() == ("alpha", "beta")
    with pytest.raises(UnclearMachineError, match=r"alpha, beta") as caught:
        places.find_machine()
    assert caught.value.on == ("alpha", "beta")
    held.pop().release()
    assert places.find_machine().name == "beta"
    monkeypatch.setenv("SUN4V_MACHINE", "alpha")
    assert places.find_machine().name == "alpha"
    assert places.find_machine("gamma").name == "gamma"
    held.pop().release()


def test_a_runtime_directory_in_tmp_must_be_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat

    def foreign(path: object, *args: object, **kwargs: object) -> os.stat_result:
        found = list(real(str(tmp_path)))
        found[4] = os.geteuid() + 1
        return os.stat_result(found)

    monkeypatch.delenv("S4V_HOME", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    existed = places.run_root().exists()
    monkeypatch.setattr(places.os, "lstat", foreign)
    with pytest.raises(PlaceError, match="belongs to you alone"):
        places.place("a").make()
    if not existed:
        places.run_root().rmdir()
