"""What a person reads where no connection comes about."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from emulator.places import HOME, hold, place
from ldmd.messages import RefusedError
from ldmd.migrator.connector import unreachable
from ldmd.migrator.link import LinkError
from ldmd.migrator.peers import find_peer


def tls_error() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(("error", "cause", "remedy"), [
    (socket.gaierror(-2, "Name or service not known"), "no host is called gamma", "`sun4v machines`"),
    (ConnectionRefusedError(111, "Connection refused"), "Connection refused", "does its ldmd listen there?"),
    (tls_error(), "what listens there does not speak TLS 1.3 as a manager does (WRONG_VERSION_NUMBER)", "is it on"),
    (TimeoutError("timed out"), "timed out", "is it on"), (LinkError("no hello"), "no hello", "is it on"),
    (OSError(), "OSError", "is it on"),
])
def test_why_nobody_answers(error: Exception, cause: str, remedy: str) -> None:
    """The cause in words, without numbers of errors or of lines in C files; a remedy that fits."""
    found = unreachable("gamma", error)
    assert found.text.splitlines()[0] == "Failed to establish connection with ldmd(1m) on target: gamma"
    assert found.cause == cause and remedy in found.remedy


def test_a_machine_of_this_home_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked for in the network: nobody else of that name is meant."""
    monkeypatch.setenv(HOME, str(tmp_path))
    place("gamma").make()
    with pytest.raises(RefusedError) as caught:
        find_peer("gamma", tmp_path)
    assert caught.value.code == "migration.connect"
    assert (caught.value.cause, caught.value.remedy) == ("machine gamma of this home is off", "`sun4v power-on gamma`")
    kept = hold(place("gamma").machine_pid)
    with pytest.raises(RefusedError) as caught:
        find_peer("gamma", tmp_path)
    assert caught.value.cause == "the ldmd of gamma does not listen" and "`ldmd --machine gamma`" in caught.value.remedy
    kept.release()
    assert find_peer("delta", tmp_path).address == "delta"
