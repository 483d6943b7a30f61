"""add-, set-, bind- and start-domain -i: all of a document or nothing of it."""

from __future__ import annotations

import pytest
from manager_support import machine_of, make_manager
from services_support import done, refused

from ldmd.manager import Manager
from ldmd.model import State


@pytest.fixture
def manager() -> Manager:
    manager = make_manager()
    done(manager, "start-reconf", domain="primary")
    done(manager, "set-vcpu", domain="primary", count="16")
    done(manager, "set-memory", domain="primary", size="8G")
    done(manager, "stop-domain", domains=["primary"], reboot=True)
    assert manager.configuration.pending == ()
    done(manager, "add-vcc", vcc="primary-vcc0", domain="primary", port_range="5000-5100")
    done(manager, "add-vsw", vswitch="vsw0", domain="primary")
    done(manager, "add-domain", domains=["ldg1"])
    done(manager, "set-vcpu", domain="ldg1", count="8")
    done(manager, "set-memory", domain="ldg1", size="2G")
    done(manager, "add-vnet", vnet="n0", vswitch="vsw0", domain="ldg1")
    return manager


def test_a_domain_is_removed_and_made_again(manager: Manager) -> None:
    before = manager.configuration.find("ldg1")
    text = done(manager, "export-domain", domains=["ldg1"]).result
    done(manager, "remove-domain", domains=["ldg1"])
    assert manager.configuration.freed_macs
    done(manager, "add-domain", xml=text)
    assert manager.configuration.find("ldg1") == before
    assert not set(manager.configuration.freed_macs) & {before.mac, before.vnets[0].mac}  # type: ignore[union-attr]
    assert refused(manager, "add-domain", xml=text) == "domain.exists"
    done(manager, "bind-domain", domain="ldg1")
    assert machine_of(manager).guests[1].spec["nets"][0]["name"] == "n0"


def test_addresses_are_chosen_where_the_document_has_none(manager: Manager) -> None:
    text = done(manager, "export-domain", domains=["ldg1"]).result
    lines = [line for line in text.splitlines() if "rasd:Address>" not in line and "<uuid>" not in line]
    copy = "\n".join(lines).replace('id="ldg1"', 'id="ldg2"')
    done(manager, "add-domain", xml=copy)
    one, two = manager.configuration.find("ldg1"), manager.configuration.find("ldg2")
    assert one is not None and two is not None
    assert len({one.mac, two.mac, one.vnets[0].mac, two.vnets[0].mac}) == 4 and one.uuid != two.uuid


def test_start_from_a_document(manager: Manager) -> None:
    text = done(manager, "export-domain", domains=["ldg1"]).result
    done(manager, "remove-domain", domains=["ldg1"])
    done(manager, "start-domain", xml=text)
    assert manager.configuration.find("ldg1").state is State.ACTIVE  # type: ignore[union-attr]


def test_what_cannot_be_bound_is_not_added(manager: Manager) -> None:
    text = done(manager, "export-domain", domains=["ldg1"]).result
    done(manager, "remove-domain", domains=["ldg1"])
    before = manager.configuration
    outcome = manager.execute("bind-domain", {"xml": text.replace(f">{2 << 30}<", ">100G<")})
    assert outcome.status == 1 and outcome.error is not None and outcome.error.code != "internal"
    assert manager.configuration.domains == before.domains and set(machine_of(manager).guests) == {0}


def test_properties_from_a_document(manager: Manager) -> None:
    text = done(manager, "export-domain", domains=["ldg1"]).result
    before = manager.configuration
    done(manager, "set-domain", xml=text)
    assert manager.configuration == before
    done(manager, "set-domain", xml=text.replace(">ignore<", ">reset<"))
    assert manager.configuration.find("ldg1").failure_policy == "reset"  # type: ignore[union-attr]
    assert refused(manager, "set-domain", xml=text.replace('id="ldg1"', 'id="ldg7"')) == "domain.not-found"


def test_another_machines_address_is_refused(manager: Manager) -> None:
    text = done(manager, "export-domain", domains=["ldg1"]).result
    done(manager, "remove-domain", domains=["ldg1"])

    class Others:
        def taken(self, addresses: object) -> frozenset[int]:
            return frozenset(addresses)  # type: ignore[call-overload,no-any-return]

    manager.neighbours = Others()  # type: ignore[assignment]
    assert refused(manager, "add-domain", xml=text) == "network.mac-elsewhere"
