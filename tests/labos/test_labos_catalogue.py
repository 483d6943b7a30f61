"""labos comes to its prompt on every server of the catalogue, under OpenBoot, and says which one it is on."""

from __future__ import annotations

import pytest
from labos_support import Lab

from emulator.platforms import PLATFORMS


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_every_server(platform: str) -> None:
    lab = Lab(mode="openboot", platform=platform)
    assert f"\n{PLATFORMS[platform].uname}\n" in lab.command("prtconf")
    assert lab.command("psrinfo") == "0\ton-line\n1\ton-line\n"
    assert lab.command("run check") == "check: ok\n"
    lab.machine.close()
