"""`sun4v power-policy` against a manager behind its socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from manager_support import make_manager

from emulator import cli
from emulator.places import place
from ldmd.rpc.access import Access
from ldmd.rpc.server import Server


def test_shown_set_refused(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
                           capsys: pytest.CaptureFixture[str]) -> None:
    home: Path = tmp_path_factory.mktemp("p")
    monkeypatch.setenv("S4V_HOME", str(home))
    at = place("alpha")
    at.make()
    server = Server(make_manager(), at.rpc, Access())
    server.start()
    try:
        assert cli.main(["power-policy", "alpha"]) == 0
        assert capsys.readouterr().out == "disabled\n"
        assert cli.main(["power-policy", "alpha", "elastic"]) == 0
        assert cli.main(["power-policy", "alpha"]) == 0
        assert capsys.readouterr().out == "elastic\n"
        assert cli.main(["power-policy", "alpha", "turbo"]) == 1
        assert "turbo is not a value of policy" in capsys.readouterr().err
    finally:
        server.close()
    assert cli.main(["power-policy", "alpha"]) == 1
    assert "Failed to connect to logical domain manager" in capsys.readouterr().err
    assert cli.main(["power-policy", "../alpha"]) == 2
