"""What ldmd does by itself: its file of settings, MAC addresses of neighbours, policies, faults of either."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import changes
import pytest
from manager_support import commit, make_manager, run

from ldmd.housekeeping import Detection, Housekeeping, read_detection
from ldmd.macprobe import GROUP, MESSAGE_BYTES, PORT, Kind, Lookup, pack
from ldmd.messages import RefusedError


@pytest.mark.parametrize(("text", "words"), [
    ("[mac-detection", "ldmd.toml"), ("[detection]\nhops = 1", "only [mac-detection]"),
    ("[mac-detection]\nport = 1", "only [mac-detection]"), ("[mac-detection]\nhops = \"1\"", "is no int"),
    ("[mac-detection]\nenabled = 1", "is no bool"), ("[mac-detection]\ninterface = \"eth0\"", "interface"),
    ("[mac-detection]\nhops = 300", "from 0 to 255"), ("mac-detection = 1", "only [mac-detection]")])
def test_a_faulty_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "ldmd.toml"
    path.write_text(text)
    with pytest.raises(RefusedError) as caught:
        read_detection(path)
    assert caught.value.code == "settings.file" and words in caught.value.text


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ldmd.toml"
    assert read_detection(path) == Detection(True, "127.0.0.1", 0)  # nothing leaves the host until told
    path.write_text("[mac-detection]\ninterface = \"192.0.2.7\"\nhops = 1\n")
    assert read_detection(path) == Detection(True, "192.0.2.7", 1)
    path.write_text("[mac-detection]\nenabled = false\n")
    assert not read_detection(path).enabled


def test_an_interface_that_is_not_there_is_told_and_does_not_matter() -> None:
    manager = make_manager()
    keeper = Housekeeping(manager, Detection(interface="192.0.2.77"))
    keeper.start()
    assert manager.neighbours is None
    assert any("MAC addresses are not looked for" in line for line in manager.log_lines)  # type: ignore[attr-defined]
    assert run(manager, lambda context: context.macs_elsewhere([1]), write=False).result == frozenset()
    keeper.close()


def test_one_machine_answers_for_its_addresses_to_another() -> None:
    alpha, beta = make_manager(), make_manager(name="beta")
    commit(alpha, changes.roomy(alpha.configuration).with_domain(changes.guest(1)))
    keepers = [Housekeeping(manager, Detection()) for manager in (alpha, beta)]
    if alpha.neighbours is None:
        pytest.skip("no multicast on the loopback interface of this host")
    for keeper in keepers:
        keeper.start()
    try:
        of_alpha = {alpha.configuration.primary.mac, 0x144FF80101, 0x144FF90001, 0x144FF80000}
        outcome = run(beta, lambda context: context.macs_elsewhere({*of_alpha, 0x144FF81234}), write=False)
        assert outcome.result == of_alpha
    finally:
        for keeper in keepers:
            keeper.close()
    assert alpha.neighbours is None


def test_nobody_is_asked_where_no_other_machine_is_on() -> None:
    alpha, beta = make_manager(), make_manager(name="beta")
    on = True
    keepers = [Housekeeping(alpha, Detection()), Housekeeping(beta, Detection(), alone=lambda: not on)]
    if alpha.neighbours is None:
        pytest.skip("no multicast on the loopback interface of this host")
    keepers[0].start()
    mac = alpha.configuration.primary.mac
    try:
        assert run(beta, lambda context: context.macs_elsewhere([mac]), write=False).result == {mac}
        on = False
        assert run(beta, lambda context: context.macs_elsewhere([mac]), write=False).result == frozenset()
    finally:
        for keeper in keepers:
            keeper.close()


def test_nonsense_on_the_group_is_passed_over() -> None:
    manager = make_manager()
    keeper = Housekeeping(manager, Detection())
    if manager.neighbours is None:
        pytest.skip("no multicast on the loopback interface of this host")
    keeper.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.settimeout(30)
        for data in (b"", b"x" * 2000, b"\0" * MESSAGE_BYTES, pack(Lookup(Kind.SEND, 0, "x"))[:20]):
            with contextlib.suppress(OSError):
                sock.sendto(data, (GROUP, PORT))
    other = make_manager(name="beta")
    second = Housekeeping(other, Detection())
    mac = manager.configuration.primary.mac
    assert run(other, lambda context: context.macs_elsewhere([mac]), write=False).result == {mac}
    keeper.close()
    second.close()
