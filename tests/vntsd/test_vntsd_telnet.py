"""Consoles of a real machine with the real telnet client: two of them, forced write access, the menu of a group."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_shares import free_ports
from room_support import Shell

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
PATIENCE = 60.0


class Terminal:
    """telnet in a terminal of its own."""

    def __init__(self, port: int) -> None:
        self.seen = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execvp("telnet", ["telnet", "127.0.0.1", str(port)])
        self.pid = pid

    def expect(self, text: bytes) -> None:
        """Wait for a text, and forget everything up to it."""
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], PATIENCE)
            assert ready, f"waited for {text!r}; saw {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:  # the other end of the terminal is gone
                raise AssertionError(f"telnet ended; waited for {text!r}, saw {self.seen!r}") from None
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.fd, keys)

    def end(self) -> None:
        """telnet says that it was disconnected, and is over."""
        self.expect(b"Connection closed by foreign host.")
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which("telnet") is None:
        pytest.skip("telnet is not installed")
    shell = Shell(tmp_path_factory.mktemp("v"))
    yield shell
    shell.sun4v("lab", "reset", "--all")
    assert shell.left() == []


def lab_text(port: int, guests: str) -> str:
    return f"""
[server.alpha]
platform = "t4-1"
memory = "8G"
[server.alpha.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{port}-{port + 1}"
{guests}
"""


def guest(name: str, more: str = "") -> str:
    """A domain that stays at OpenBoot's prompt."""
    return f"""
[server.alpha.domain.{name}]
vcpus = 1
memory = "256M"
variable."auto-boot?" = "false"
{more}
"""


def up(shell: Shell, guests: str) -> int:
    port = free_ports()
    path = Path(shell.home) / "consoles.toml"
    path.write_text(lab_text(port, guests))
    shell.sun4v("lab", "up", str(path))
    return port


def test_two_clients_of_a_console(shell: Shell) -> None:
    port = up(shell, guest("ldg1"))
    first = Terminal(port)
    first.expect(b'Connecting to console "ldg1" in group "ldg1" ....')
    second = Terminal(port)
    second.expect(b"Press ~? for control options ..")
    first.type(b'\r." forty" ."  two" cr\r')
    first.expect(b"forty two\r\n")
    first.expect(b"ok ")
    second.expect(b"forty two\r\n")
    second.type(b"x")
    second.expect(b"You do not have write access")
    second.type(b"\r~w")
    second.expect(b"Would you like to continue?[y/n] ")
    second.type(b"y")
    first.expect(b"Warning: Console connection forced into read-only mode")
    second.type(b'\r." second" ."  writer" cr\r')
    second.expect(b"second writer\r\n")
    first.expect(b"second writer\r\n")
    second.type(b"\r~.")
    second.end()
    first.type(b'\r." first" ."  again" cr\r')
    first.expect(b"first again\r\n")
    log = shell.home / "machines" / "alpha" / "console" / "ldg1" / "console-log"
    assert b"second writer\r\n" in log.read_bytes()
    shell.ldm("stop-domain", "-f", "ldg1")
    shell.ldm("unbind-domain", "ldg1")
    first.end()
    subprocess_telnet = subprocess.run(["telnet", "127.0.0.1", str(port)], stdin=subprocess.DEVNULL,
                                       capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "Connection refused" in subprocess_telnet.stderr


def test_a_group_has_a_menu_and_ldmd_may_come_and_go(shell: Shell) -> None:
    group = 'console = { group = "both" }'
    port = up(shell, guest("ldg1", group) + guest("ldg2", group))
    client = Terminal(port)
    client.expect(b"-vnts-both: h, l, c{id}, n{name}, q:")
    client.type(b"l")
    client.expect(b"DOMAIN ID           DOMAIN NAME                   DOMAIN STATE")
    client.expect(b"ldg2                          online")
    client.type(b"nldg2\r")
    client.expect(b'Connecting to console "ldg2" in group "both" ....')
    shell.restart_ldmd("alpha")
    client.type(b'\r." still" ."  here" cr\r')
    client.expect(b"still here\r\n")
    client.type(b"\r~n")
    client.expect(b'Connecting to console "ldg1" in group "both" ....')
    client.type(b"~.")
    client.expect(b"q:")
    client.type(b"q")
    client.end()
