"""Does my automation script handle a refused migration? The script is a real process; `ldm` is the real command."""

from pathlib import Path

import pytest

from emulator.prebuilt import find_labos
from ldmd.testing.domain import DomainSetup

SCRIPT = Path(__file__).with_name("evacuate.sh")


def labos(name):
    return DomainSetup(name=name, image=find_labos(), memory="32M", ready="# ")


@pytest.fixture
def full_server(two_servers):
    """alpha with two domains that run; of beta a test may take away what one of them needs."""
    alpha, beta = two_servers
    return alpha, beta, alpha.make_domain(labos("web")), alpha.make_domain(labos("db"))


def test_all_go(room, full_server):
    _, beta, web, db = full_server
    done = room.run("sh", SCRIPT, "alpha", "beta")
    assert (done.returncode, done.stderr) == (0, "")
    assert (web.machine, db.machine) == (beta, beta)
    assert web.console.do("echo here") == "here"


def test_one_is_refused_and_the_other_goes(room, full_server):
    alpha, beta, web, db = full_server
    beta.ldm("add-domain web")  # somebody has made one of that name
    done = room.run("sh", SCRIPT, "alpha", "beta")
    assert done.returncode == 1
    assert "web: stays: An LDom with the name 'web' already exists on the target machine" in done.stdout
    assert "db: moved to beta" in done.stdout
    assert done.stderr == "not evacuated: web\n"
    assert (web.machine, db.machine) == (alpha, beta)
    assert web.console.do("echo still here") == "still here"
