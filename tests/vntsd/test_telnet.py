"""The telnet decoder against any cut of any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ldmd.vntsd.telnet import Command, Decoder, escape

BYTES = st.lists(st.sampled_from([0, 10, 13, 65, 126, 240, 241, 243, 246, 250, 251, 253, 254, 255])).map(bytes)


@given(BYTES, st.integers(0, 20))
def test_a_cut_changes_nothing(data: bytes, cut: int) -> None:
    whole, parts = Decoder(), Decoder()
    assert list(whole.feed(data)) == [*parts.feed(data[:cut]), *parts.feed(data[cut:])]


@given(st.binary())
def test_plain_data_pass_but_for_ends_of_lines(data: bytes) -> None:
    sent = data.replace(b"\xff", b"\xff\xff")
    characters = bytes(token for token in Decoder().feed(sent) if isinstance(token, int))
    assert characters == data.replace(b"\r\n", b"\r").replace(b"\0", b"")


def test_commands() -> None:
    data = b"\xff\xfd\x01\xff\xf3a\xff\xfa\x18\x00xterm\xff\xff\xff\xf0b\xff\xf6"
    assert list(Decoder().feed(data)) == [Command(253, 1), Command(243), 97, 98, Command(246)]


def test_output() -> None:
    assert escape(b"a\0b^@c\xffd^") == b"abc\xff\xffd^"
