"""Networks that lead outward, held against what we did not write: QEMU, passt, the host's Linux behind a TAP device."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from network_support import BROADCAST, Site, joined, mac, until

OWN, GATEWAY = "10.0.2.15", "10.0.2.2"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there")
    return found


def started(stack: ExitStack, *words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.kill()
        process.wait()

    stack.callback(end)
    return process


def arp_request(sender: bytes, own: str, wanted: str) -> bytes:
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + sender + socket.inet_aton(own)
    body += bytes(6) + socket.inet_aton(wanted)
    return (BROADCAST + sender + b"\x08\x06" + body).ljust(60, b"\0")


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source: str, to: str, protocol: int, body: bytes) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


def echo(number: int, text: bytes) -> bytes:
    body = struct.pack(">BBHHH", 8, 0, 0, 7, number) + text
    return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]


def ask(site: Site, sender: bytes, own: str, wanted: str) -> bytes:
    """The MAC address of a host, by ARP."""
    site.port.send(arp_request(sender, own, wanted))
    while True:
        found = site.take()
        if found[12:14] == b"\x08\x06" and found[20:22] == b"\0\2" and found[28:32] == socket.inet_aton(wanted):
            return found[22:28]


def ping(site: Site, sender: bytes, *, own: str, to: str) -> None:
    """Echo requests with answers, small and large."""
    gateway = ask(site, sender, own, to)
    for number, text in enumerate((b"x" * 56, bytes(range(256)) * 5)):
        site.port.send(gateway + sender + b"\x08\x00" + ipv4(own, to, 1, echo(number, text)))
        while True:
            found = site.take()
            if found[12:14] == b"\x08\x00" and found[23] == 1 and found[34] == 0 and found[40:42] == bytes((0, number)):
                assert found[42 : 42 + len(text)] == text
                break


def qemu_network(stack: ExitStack, path: str) -> None:
    """QEMU without a guest: its own network with a gateway, and a cable from there to a socket."""
    started(stack, tool("qemu-system-sparc64"), "-machine", "none", "-display", "none", "-monitor", "none",
            "-netdev", f"stream,id=out,server=off,{path}", "-netdev", "user,id=lan",
            "-netdev", "hubport,hubid=0,id=h0,netdev=out", "-netdev", "hubport,hubid=0,id=h1,netdev=lan")  # fmt: skip


def test_qemu_joins_a_network_of_the_lab(tmp_path: Path, stack: ExitStack) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    qemu_network(stack, f"addr.type=unix,addr.path={tmp_path}/alpha/net.net0")
    until(lambda: a.wires("guest"))
    ping(a, mac(1), own=OWN, to=GATEWAY)
    ping(b, mac(2), own="10.0.2.16", to=GATEWAY)  # through the machine that QEMU is joined to


def test_a_device_plugged_into_qemu(tmp_path: Path, stack: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    a = stack.enter_context(Site(tmp_path, "alpha", nets={"net0": f"stream:127.0.0.1:{port}"}))
    assert not a.networks.up("net0")
    started(stack, tool("qemu-system-sparc64"), "-machine", "none", "-display", "none", "-monitor", "none",
            "-netdev", f"stream,id=out,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port={port}",
            "-netdev", "user,id=lan",
            "-netdev", "hubport,hubid=0,id=h0,netdev=out", "-netdev", "hubport,hubid=0,id=h1,netdev=lan")  # fmt: skip
    until(lambda: a.networks.up("net0"), "it connects as soon as there is somebody")
    ping(a, mac(1), own=OWN, to=GATEWAY)


def dhcp_discover(sender: bytes) -> bytes:
    options = bytes.fromhex("63825363") + b"\x35\x01\x01\xff"
    body = struct.pack(">BBBBIHHIIII", 1, 1, 6, 0, 77, 0, 0x8000, 0, 0, 0, 0)
    body += sender.ljust(16, b"\0") + bytes(192) + options
    udp = struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body
    return BROADCAST + sender + b"\x08\x00" + ipv4("0.0.0.0", "255.255.255.255", 17, udp)


def test_a_device_plugged_into_passt(tmp_path: Path, stack: ExitStack) -> None:
    path = tmp_path / "passt.sock"
    as_root = ("--runas", "0") if os.geteuid() == 0 else ()  # else it is nobody, who may not make the socket
    passt = started(stack, tool("passt"), "--foreground", *as_root, "--socket", str(path), "--address", OWN,
                    "--netmask", "24", "--gateway", GATEWAY)  # fmt: skip
    until(lambda: path.exists() or passt.poll() is not None)
    if passt.poll() is not None:
        pytest.skip("passt does not run here")
    a = stack.enter_context(Site(tmp_path, "alpha", nets={"net0": f"passt:{path}"}))
    until(lambda: a.networks.up("net0"))
    assert ask(a, mac(1), OWN, GATEWAY) != bytes(6)
    a.port.send(dhcp_discover(mac(1)))
    while True:
        found = a.take()
        if found[12:14] == b"\x08\x00" and found[23] == 17 and found[34:38] == struct.pack(">HH", 67, 68):
            assert socket.inet_ntoa(found[58:62]) == OWN, "the address it was told to give"
            break


TAP_SCRIPT = """
import socket, subprocess, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from network_support import Site, mac, until
with Site(Path({home!r}), "alpha", nets={{"net0": "tap:s4vt0"}}) as site:
    until(lambda: site.networks.up("net0"))
    for command in ("ip addr add 10.9.0.1/24 dev s4vt0", "ip link set s4vt0 up"):
        subprocess.run(command.split(), check=True)
    from test_outward import ask, ping
    ping(site, mac(1), own="10.9.0.2", to="10.9.0.1")
    subprocess.run("ip link set s4vt0 down".split(), check=True)
    site.port.send(b"\\xff" * 60)
    subprocess.run("ip link del s4vt0".split(), check=True)
    until(lambda: not site.networks.up("net0") or site.changes > 2)
print("all is well")
"""


def test_a_tap_device_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("root is not there")
    unshare, _ = tool("unshare"), tool("ip")
    if subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare -n is not allowed here")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is not there")
    script = TAP_SCRIPT.format(root=str(ROOT), tests=str(Path(__file__).parent), home=str(tmp_path))
    done = subprocess.run([unshare, "-n", sys.executable, "-c", script], capture_output=True, text=True, check=False,
                          timeout=200, cwd=ROOT)  # fmt: skip
    assert done.stdout.endswith("all is well\n"), done.stdout + done.stderr
