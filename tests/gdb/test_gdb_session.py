"""A session of the protocol against a debuggee that is not there: packets, errors, and packets without sense."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest
from gdb_fake import BASE, SIZE, STACK, FakeDebuggee

from emulator.gdb.debuggee import Kind, Reason, Resume, Stopped
from emulator.gdb.registers import NUMBERS, PRIVILEGED, STANDARD
from emulator.gdb.session import Session
from emulator.gdb.wire import MAX_PACKET

EBUSY, EFAULT, EINVAL = b"E10", b"E0e", b"E16"


class Talk:
    """A session and its debuggee."""

    def __init__(self) -> None:
        self.fake = FakeDebuggee()
        self.session = Session(self.fake, Stopped(Reason.ATTACHED, 0))

    def __call__(self, text: str | bytes) -> bytes:
        """The one answer to a packet."""
        answers = self.session.handle(text.encode() if isinstance(text, str) else text)
        assert len(answers) == 1, answers
        return answers[0]

    def go(self, text: str) -> Resume:
        """A packet that makes the guest run; how."""
        assert self.session.handle(text.encode()) == []
        assert self.session.running
        return self.fake.resumed[-1]

    def stops(self, stopped: Stopped) -> bytes:
        """The answer when it has stopped."""
        assert self.session.look() == []
        self.fake.news = stopped
        (answer,) = self.session.look()
        return answer


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_the_first_words_of_gdb(talk: Talk) -> None:
    supported = talk("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+").decode().split(";")
    assert {"QStartNoAckMode+", "qXfer:features:read+", "vContSupported+", "swbreak+", "hwbreak+"} <= set(supported)
    assert f"PacketSize={MAX_PACKET:x}" in supported
    assert talk("vMustReplyEmpty") == b""
    assert talk.session.client.ack
    assert talk("QStartNoAckMode") == b"OK"
    assert not talk.session.client.ack
    assert talk("Hg0") == b"OK"
    assert talk("?").startswith(b"T05")
    assert b"thread:1;" in talk("?")
    assert talk("qC") == b"QC1"
    assert talk("qAttached") == b"1"
    assert talk("qSymbol::") == b"OK"
    assert talk("vCont?") == b"vCont;c;C;s;S"
    assert talk("QNonStop:0") == b"OK"
    assert talk("QNonStop:1") == EINVAL
    for unknown in ("qTStatus", "jabber", "vFile:setfs:0", "qXfer:auxv:read::0,10", "R00", "vRun;a", "Z9,0,4", ""):
        assert talk(unknown) == b""


def transferred(talk: Talk, what: str, length: int = 0x123) -> bytes:
    """A document, read in pieces."""
    document = b""
    while True:
        answer = talk(f"qXfer:{what}:{len(document):x},{length:x}")
        document += answer[1:]
        if answer[:1] == b"l":
            return document
        assert answer[:1] == b"m"
        assert len(answer) == length + 1


def test_the_target_description(talk: Talk) -> None:
    """GDB's own features with their registers in GDB's order, 86 of them, then ours."""
    root = ElementTree.fromstring(transferred(talk, "features:read:target.xml"))
    assert root.findtext("architecture") == "sparc:v9"
    registers = [each for feature in root.findall("feature") for each in feature.findall("reg")]
    assert [int(each.attrib["regnum"]) for each in registers] == list(range(86 + len(PRIVILEGED)))
    features = {each.attrib["name"]: [reg.attrib["name"] for reg in each.findall("reg")]
                for each in root.findall("feature")}
    assert features["org.gnu.gdb.sparc.cpu"][14] == "sp"
    assert features["org.gnu.gdb.sparc.cpu"][30] == "fp"
    assert features["org.gnu.gdb.sparc.fpu"][31:34] == ["f31", "f32", "f34"]
    assert features["org.gnu.gdb.sparc.cp0"] == ["pc", "npc", "state", "fsr", "fprs", "y"]
    assert not set(features["org.sun4v.privileged"]) & {"ccr", "asi", "pstate", "cwp"}  # GDB makes those itself
    assert talk("qXfer:features:read:other.xml:0,100") == b"E00"
    assert talk("qXfer:features:read:target.xml:0") == EINVAL
    assert talk("qXfer:features:read:target.xml:ffffffff,10") == b"l"


def test_threads(talk: Talk) -> None:
    assert talk("qfThreadInfo") == b"m1,2"
    assert talk("qsThreadInfo") == b"l"
    assert bytes.fromhex(talk("qThreadExtraInfo,1").decode()) == b"running, privileged"
    assert bytes.fromhex(talk("qThreadExtraInfo,2").decode()) == b"waiting"
    assert talk("T2") == b"OK"
    assert talk("T3") == EINVAL
    assert talk("Hg3") == EINVAL
    assert talk("Hx1") == EINVAL
    threads = ElementTree.fromstring(transferred(talk, "threads:read:", 50)).findall("thread")
    assert [(each.attrib["id"], each.attrib["core"], each.attrib["name"]) for each in threads] == [
        ("1", "8", "vcpu 0"), ("2", "9", "vcpu 1")]


def test_registers(talk: Talk) -> None:
    whole = talk("g").decode()
    assert len(whole) == 2 * sum(each.size_bytes for each in STANDARD) == 2 * 560
    assert whole[16 * 14 : 16 * 15] == f"{STACK:016x}"
    at = sum(each.size_bytes for each in STANDARD[: NUMBERS["state"]]) * 2
    assert whole[at : at + 16] == f"{0x91 << 32 | 0x82 << 24 | 0x16 << 8 | 3:016x}"
    assert talk(f"p{NUMBERS['pc']:x}") == b"0000000000001100"
    assert talk(f"p{NUMBERS['f3']:x}") == b"00000023"
    assert talk("Hg2") == b"OK"
    assert talk(f"p{NUMBERS['f32']:x}") == b"0000000000001040"
    assert talk(f"p{NUMBERS['tl']:x}") == b"0000000000000001"
    assert talk("pffff") == EINVAL
    assert talk("p") == EINVAL


def test_setting_registers(talk: Talk) -> None:
    assert talk("P1=00000000deadbeef") == b"OK"
    assert talk.fake.values[0]["g1"] == 0xDEADBEEF
    assert talk(f"P{NUMBERS['f40']:x}=4000000000000000") == b"OK"
    assert talk.fake.values[0]["d40"] == 0x4000000000000000
    assert talk(f"P{NUMBERS['state']:x}={0x44 << 32 | 0x80 << 24 | 0x12 << 8 | 3:016x}") == b"OK"
    assert [talk.fake.values[0][name] for name in ("ccr", "asi", "pstate", "cwp")] == [0x44, 0x80, 0x12, 3]
    assert talk("G" + talk("g").decode()) == b"OK"
    for wrong in ("P1=00", "P1=zz", "Pffff=00", "P1", "G00", f"P{NUMBERS['tick']:x}=0000000000000000"):
        assert talk(wrong) == EINVAL
    assert talk(f"P{NUMBERS['pc']:x}=0000000000000001") == EFAULT  # the guest refuses it
    whole = talk("g").decode()
    assert talk("G" + "1" * 16 + whole[16:]) == b"OK"  # %g0 and all others as they were
    assert talk.fake.values[0]["g0"] == 0x1111111111111111


def test_memory(talk: Talk) -> None:
    assert talk(f"m{BASE:x},4") == b"00010203"
    assert talk(f"m{BASE:x},0") == b""
    assert talk(f"M{BASE:x},2:beef") == b"OK"
    assert talk(b"X%x,3:\x00\xff#" % BASE) == b"OK"
    assert talk(f"m{BASE:x},4") == b"00ff2303"
    assert talk(b"X%x,0:" % BASE) == b"OK"
    assert talk("m0,4") == EFAULT
    assert talk(f"M{BASE + SIZE - 1:x},2:beef") == EFAULT
    assert talk(f"m{BASE + SIZE - 2:x},10") == b"feff"  # as far as it is there


@pytest.mark.parametrize("wrong", [
    "m", "m1000", "m1000,", "m,4", "mzz,4", "m1000,11111111111111111", "m-1,4", "M1000,2", "M1000,2:be", "M1000,1:beef",
    "M1000,2:zzzz", "X1000,2:a", "X1000,ffffffffffffffff:a", "m1000,4,4", "Mffffffffffffffff,2:beef",
])  # fmt: skip
def test_hostile_lengths(talk: Talk, wrong: str) -> None:
    before = bytes(talk.fake.memory)
    assert talk(wrong) == EINVAL
    assert talk.fake.memory == before


def test_more_than_a_packet_holds_is_not_sent(talk: Talk) -> None:
    talk.fake.memory = bytearray(1 << 20)
    assert len(talk(f"m{BASE:x},ffffffffffffffff")) <= MAX_PACKET
    assert talk("mffffffffffffffff,ffffffffffffffff") == EFAULT


def test_callers_registers_come_from_the_register_file(talk: Talk) -> None:
    """The save area at the caller's %sp has what is in its window, though memory has not (emulator.gdb.stack)."""
    area = STACK + 0xB0 + 2047
    assert talk(f"m{area:x},10").decode() == f"{0xA000:016x}{0xA001:016x}"
    assert talk(f"m{area - 4:x},c").decode() == talk.fake.memory[area - 4 - BASE : area - BASE].hex() + f"{0xA000:016x}"
    assert talk(f"m{area + 4:x},4").decode() == f"{0xA000:08x}"
    second = STACK + 0x160 + 2047
    assert talk(f"m{second + 120:x},8").decode() == f"{0xB00F:016x}"
    assert talk(f"M{area + 8:x},8:00000000000000aa") == b"OK"
    assert talk.fake.file[0][0][1] == 0xAA
    assert talk.fake.memory[area + 8 - BASE : area + 16 - BASE].hex() == "00000000000000aa"
    assert talk(f"m{area:x},10").decode() == f"{0xA000:016x}{0xAA:016x}"
    assert talk("Hg2") == b"OK"  # a strand without windows of callers: memory as it is
    assert talk(f"m{area:x},8").decode() == talk.fake.memory[area - BASE : area + 8 - BASE].hex()


def test_a_frame_of_32_bits(talk: Talk) -> None:
    talk.fake.values[0]["i6"] = 0x2800
    assert talk("m2800,8").decode() == f"{0xA000:08x}{0xA001:08x}"


def test_breakpoints(talk: Talk) -> None:
    assert talk("Z0,1100,4") == b"OK"
    assert talk("Z0,1100,4") == b"OK"  # sent again
    assert talk("Z1,1100,4") == b"OK"  # the same for the guest
    assert talk.fake.breakpoints == [0x1100]
    assert talk("z0,1100,4") == b"OK"
    assert talk.fake.breakpoints == [0x1100]
    assert talk("z1,1100,4") == b"OK"
    assert talk.fake.breakpoints == []
    assert talk("z1,1100,4") == b"OK"
    for wrong in ("Z0,1101,4", "Z0", "Z0,1100", "Z0,zz,4", "Z2,1100,0", "Z2,1100,fffffff", "Z2,ffffffffffffffff,2"):
        assert talk(wrong) == EINVAL
    for n in range(4):
        assert talk(f"Z0,{n * 4:x},4;X1,0") == b"OK"
    assert talk("Z0,2000,4") == EFAULT  # the machine has no more
    assert talk("z0,2000,4") == b"OK"
    assert len(talk.fake.breakpoints) == 4


def test_watchpoints(talk: Talk) -> None:
    for kind, wanted, word in (("2", Kind.WRITE, b"watch"), ("3", Kind.READ, b"rwatch"), ("4", Kind.ACCESS, b"awatch")):
        assert talk(f"Z{kind},1200,8") == b"OK"
        assert talk.fake.watches == [(0x1200, 8, wanted)]
        talk.go("vCont;c")
        answer = talk.stops(Stopped(Reason.WATCH, 1, 0x1204, wanted))
        assert answer.endswith(b"thread:2;" + word + b":1204;")
        assert talk(f"z{kind},1200,8") == b"OK"
        assert talk.fake.watches == []


def test_going_on(talk: Talk) -> None:
    assert talk.go("vCont;c") == Resume()
    assert talk("g") == EBUSY  # nothing else is done meanwhile
    assert talk.stops(Stopped(Reason.BREAKPOINT, 1, 0x1100)).startswith(b"T05")
    assert talk("qC") == b"QC2"
    assert talk.go("vCont;s:1;c") == Resume(step=0)
    talk.stops(Stopped(Reason.STEP, 0))
    assert talk.go("vCont;s:2") == Resume(step=1, only=1)
    talk.stops(Stopped(Reason.STEP, 1))
    assert talk.go("vCont;C05:2") == Resume(only=1)
    talk.stops(Stopped(Reason.STEP, 1))
    assert talk.go("vCont;S05:1;C05:-1") == Resume(step=0)
    talk.stops(Stopped(Reason.STEP, 0))
    assert talk("Hc2") == b"OK"
    assert talk.go("s") == Resume(step=1, only=1)
    talk.stops(Stopped(Reason.STEP, 1))
    assert talk("Hc-1") == b"OK"
    assert talk.go("C05;1180") == Resume()
    assert talk.fake.values[1]["pc"] == 0x1180
    talk.stops(Stopped(Reason.STEP, 0))
    for wrong in ("vCont;", "vCont;x", "vCont;c:9", "vCont;t", "vCont;C5", "czz", "Czz"):
        assert talk(wrong) == EINVAL
        assert not talk.session.running


def test_the_kind_of_a_breakpoint_is_told_to_a_client_that_knows_it(talk: Talk) -> None:
    assert talk("Z1,1100,4") == b"OK"
    talk.go("c")
    assert b"break" not in talk.stops(Stopped(Reason.BREAKPOINT, 0, 0x1100))
    talk("qSupported:swbreak+;hwbreak+")
    talk.go("c")
    assert talk.stops(Stopped(Reason.BREAKPOINT, 0, 0x1100)).endswith(b"hwbreak:;")
    assert talk("z1,1100,4") == b"OK"
    talk.go("c")
    assert talk.stops(Stopped(Reason.BREAKPOINT, 0, 0x1100)).endswith(b"swbreak:;")


def test_interrupt(talk: Talk) -> None:
    talk.session.interrupt()
    assert talk.fake.asked == 0  # it stands
    talk.go("vCont;c")
    talk.session.interrupt()
    (answer,) = talk.session.look()
    assert answer.startswith(b"T02")
    assert b"thread:2;" in answer


def test_ends(talk: Talk) -> None:
    talk.go("c")
    assert talk.stops(Stopped(Reason.DYING, 1, 0x1100)).startswith(b"T0b")
    talk.go("c")
    assert talk.stops(Stopped(Reason.ENDED, code=7)) == b"W07"
    assert talk.session.over
    other = Talk()
    assert other("D") == b"OK"
    assert other.session.over
    killed = Talk()
    assert killed.session.handle(b"k") == []
    assert killed.session.over
    assert Talk()("vKill;1") == b"OK"


def test_the_machine_ends_meanwhile(talk: Talk) -> None:
    talk.go("c")
    talk.fake.gone = True
    text, end = talk.session.look()
    assert b"the machine has ended" in bytes.fromhex(text[1:].decode())
    assert end == b"X09"
    assert talk.session.over
    other = Talk()
    other.fake.gone = True
    assert other.session.handle(b"g")[-1] == b"X09"


def test_monitor(talk: Talk) -> None:
    answers = talk.session.handle(b"qRcmd," + b"info me".hex().encode())
    assert answers[-1] == b"OK"
    text = b"".join(bytes.fromhex(each[1:].decode()) for each in answers[:-1])
    assert text.startswith(b"info me at 0: xxx")
    assert all(each[:1] == b"O" and len(each) < MAX_PACKET for each in answers[:-1])
    for wrong in ("qRcmd,zz", "qRcmd,6", "qRcmd,ff"):
        assert talk(wrong) == EINVAL


def test_packets_that_make_no_sense() -> None:
    """Of chance, and of true ones with something changed: an answer each, and the next true one is understood."""
    seed = 20261126
    print("seed", seed)
    chance = random.Random(seed)
    true = [b"m1000,4", b"M1000,2:beef", b"X1000,2:ab", b"Z0,1100,4", b"Z2,1100,4", b"vCont;c:1", b"vCont;s:1;c",
            b"Hg1", b"P1=00000000deadbeef", b"p50", b"qXfer:features:read:target.xml:0,100", b"qRcmd,696e666f", b"g",
            b"?", b"qThreadExtraInfo,1", b"T1", b"C05;1100", b"qSupported:a", b"G00", b"z4,1100,8",
            b"QNonStop:0"]  # fmt: skip
    talk = Talk()
    for _ in range(6000):
        word = bytearray(chance.choice(true))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(word) + 1)
            change = chance.choice(b",:;=-0fFzXm\x00\xff$#+ ")
            word[at : at + chance.randrange(2)] = bytes((change,)) * chance.choice((1, 1, 1, 40))
        answers = talk.session.handle(bytes(word))
        assert all(isinstance(each, bytes) and len(each) <= MAX_PACKET for each in answers)
        if talk.session.running:
            assert answers == []
            talk.fake.news = Stopped(Reason.STEP, chance.randrange(2))
            assert talk.session.look()
        if talk.session.over:
            talk = Talk()
    assert talk("p50") == b"0000000000001100" or int(talk("p50"), 16) % 4 == 0
