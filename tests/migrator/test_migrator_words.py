"""What a person reads where no connection comes about."""

from __future__ import annotations

import socket
import ssl

import pytest

from ldmd.migrator.connector import unreachable
from ldmd.migrator.link import LinkError


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
