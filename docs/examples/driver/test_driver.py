"""Does my driver survive migration? Here the driver is the virtual disk's of labos; put your kernel in `image=`."""

import random

import pytest

pytestmark = pytest.mark.sun4v(budget="400M", vcpus=2, disks=["8M"])


def test_what_was_written_is_there_on_the_other_server(domain, console, migrate):
    assert "64 blocks" in console.do("write c0d1 0 pattern 64")
    migrate(domain)
    assert domain.machine.name == "beta"
    assert "are the pattern" in console.do("verify c0d1 0 64")


def test_a_request_on_its_way_is_finished_there(domain, console, migrate, seed):
    """The domain leaves in the middle of a command, at an instant that follows from the seed."""
    chance = random.Random(seed)
    for block in range(0, 256, 64):
        console.sendline(f"write c0d1 {block} pattern 64")
        domain.room.advance(chance.randrange(1, 3_000_000))
        migrate(domain, work_ms=chance.random())
        console.expect("64 blocks")
    assert "are the pattern" in console.do("verify c0d1 0 256")


def test_a_disk_that_is_not_there_is_an_error_and_no_crash(console):
    assert "c0d7" in console.do("write c0d7 0 pattern 1")
    assert console.do("echo alive") == "alive"
