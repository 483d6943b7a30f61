"""The XML of constraints: written and read back the same, and refused with line and column where it is wrong."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manager_support import make_manager
from services_support import domain, done, put_guest, reboot, refused, server

from ldmd.messages import RefusedError
from ldmd.model import (
    BootPolicy,
    Configuration,
    Cpus,
    DiskServer,
    Domain,
    FailurePolicy,
    MemoryAmount,
    Policy,
    Vcc,
    Vcons,
    Vdisk,
    Vdpcc,
    Vdpcs,
    Vhba,
    Vnet,
    Volume,
    Vsan,
    Vsw,
)
from ldmd.xmlif.admit import admit
from ldmd.xmlif.export import constraints_of, export
from ldmd.xmlif.read import read_documents
from ldmd.xmlif.tree import DEPTH_LIMIT, Element, parse, to_text

NAMES = ("vdisk0", "a-b", "x.y", "n_1", "q:r")
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), whitelist_characters="\n\t\r"), max_size=20).filter(
    lambda text: not {"\ufffe", "\uffff"} & set(text))  # fmt: skip


@st.composite
def vnets(draw: Any, number: int, index: int) -> Vnet:
    base = 0x144FF8_1000 + 0x1000 * number + 0x10 * index
    alternates = draw(st.lists(st.sampled_from((base + 1, base + 2, base + 0x40000)), unique=True, max_size=3))
    vids = draw(st.lists(st.integers(2, 4094), unique=True, max_size=3))
    protection = draw(st.sampled_from(((), ("mac-nospoof",), ("ip-nospoof", "dhcp-nospoof"))))
    return Vnet(
        name=NAMES[index], service="uplink", mac=base, alt_macs=tuple(alternates),
        automatic_alt_macs=tuple(mac for mac in alternates if mac < 0x144FFC_0000), vids=tuple(vids),
        pvid=draw(st.none() | st.just(1)), pvlan="" if vids else draw(st.sampled_from(("", "9,isolated"))),
        protection=protection, allowed_ips=("10.0.0.1", "::1") if len(protection) == 2 else (),
        allowed_dhcp_cids=("host-1",) if len(protection) == 2 else (),
        priority=draw(st.sampled_from(("", "low"))), cos=draw(st.none() | st.integers(0, 7)),
        mode=draw(st.sampled_from(("", "hybrid"))), mtu=draw(st.none() | st.integers(1500, 16000)),
        linkprop=draw(st.sampled_from(("", "phys-state"))),
        maxbw_bps=draw(st.none() | st.integers(1, 10**9).map(lambda kilo: kilo * 1000)),
        id=draw(st.none() | st.just(index)),
    )  # fmt: skip


@st.composite
def services(draw: Any, number: int) -> dict[str, Any]:
    options = st.sampled_from(((), ("ro", "slice")))
    volumes = tuple(Volume(name=f"v{n}", backend=f"/b/{number}/{n} <&", options=draw(options),
                           mpgroup=draw(st.sampled_from(("", f"mp{n}"))))
                    for n in range(draw(st.integers(0, 2))))  # fmt: skip
    vsw = Vsw(name=f"vsw{number}", mac=0x144FFA_0000 + number, net_dev=draw(st.sampled_from(("", "net0"))),
              vids=draw(st.sampled_from(((), (5, 6)))), mtu=draw(st.sampled_from((1500, 9000))), mode=draw(
                  st.sampled_from(("", "sc"))), inter_vnet_link=draw(st.sampled_from(("auto", "off"))))  # fmt: skip
    return {
        "disk_servers": (DiskServer(name=f"vds{number}", volumes=volumes),), "switches": (vsw,),
        "vccs": (Vcc(name=f"vcc{number}", first_port=5000 + 100 * number, last_port=5099 + 100 * number),),
        "vsans": (Vsan(name=f"vsan{number}", iport=f"/SYS/P{number}"),), "vdpcss": (Vdpcs(name=f"dp{number}"),),
    }  # fmt: skip


@st.composite
def guests(draw: Any, number: int) -> Domain:
    cpus = draw(st.sampled_from((Cpus(), Cpus(vcpus=5), Cpus(vcpus=16, whole_core=True, cores=2, max_cores=4),
                                 Cpus(vcpus=16, whole_core=True, cores=2, cids=(3, 7)))))  # fmt: skip
    fields: dict[str, Any] = draw(services(number)) if draw(st.booleans()) else {}
    some = (Policy(name="p", enable=True, attack=3, vcpu_max=9, tod_begin=60), Policy(name="q", decay=4))
    policies = () if cpus.whole_core else draw(st.sampled_from(((), some)))
    names = draw(st.lists(st.sampled_from(("auto-boot?", "boot-device", "nvramrc")), unique=True))
    return domain(
        f"ldg{number}", number, cpus=cpus, policies=policies,
        failure_policy=draw(st.sampled_from(list(FailurePolicy))), boot_policy=draw(st.sampled_from(list(BootPolicy))),
        extended_mapin_space=draw(st.booleans()), shutdown_group=draw(st.integers(1, 15)),
        cpu_arch=draw(st.sampled_from(("native", "generic"))), rc_add_policy=draw(st.sampled_from(("", "iov"))),
        perf_counters=draw(st.sampled_from(((), ("htstrand",), ("strand",)))),
        masters=("ldg0",) if number and draw(st.booleans()) else (),
        memory=draw(st.sampled_from((MemoryAmount(), MemoryAmount(size_bytes=3 << 30), MemoryAmount(
            size_bytes=1 << 30, mblocks=((0x8_0000_0000, 1 << 30),))))),
        crypto=draw(st.integers(0, 2)), variables=tuple((name, draw(TEXTS)) for name in names),
        vnets=tuple(draw(vnets(number, index)) for index in range(draw(st.integers(0, 3)))),
        vdisks=tuple(Vdisk(name=NAMES[n], volume=f"v{n}", service="vds0", timeout=draw(st.integers(0, 9)),
                           id=draw(st.none() | st.just(n))) for n in range(draw(st.integers(0, 3)))),
        vhbas=draw(st.sampled_from(((), (Vhba(name="h", vsan="vsan0", timeout=3, id=1),)))),
        vdpccs=draw(st.sampled_from(((), (Vdpcc(name="c", service="dp0"),)))),
        vcons=draw(st.sampled_from((Vcons(), Vcons(group="g", port=5001, service="vcc0", log=False)))),
        **fields,
    )  # fmt: skip


@st.composite
def configurations(draw: Any) -> Configuration:
    return server(*(draw(guests(number)) for number in range(draw(st.integers(1, 3)))))


def uuids() -> Any:
    numbers = itertools.count()
    return lambda: f"uuid-{next(numbers)}"


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(configurations())
def test_what_is_exported_comes_back_the_same(configuration: Configuration) -> None:
    text = export(configuration.guests)
    documents = read_documents(text)
    again = admit(server(), documents, spare=(), new_uuid=uuids())
    assert [constraints_of(each) for each in again.guests] == [constraints_of(each) for each in configuration.guests]
    assert export(again.guests) == text


def test_the_form_of_the_document() -> None:
    text = export([domain("ldg1", 1, cpus=Cpus(vcpus=8), memory=MemoryAmount(size_bytes=4 << 30),
                          variables=(("auto-boot?", "false"),))])  # fmt: skip
    root = parse(text)
    assert root.attributes["version"] == "1.3"
    assert root.attributes["xsi:noNamespaceSchemaLocation"] == "./schemas/combined-v3.xsd"
    data = root.first("data")
    assert data is not None and data.attributes == {"version": "3.0"}
    content = data.children[0].children[1]
    assert content.name == "Content" and content.attributes == {"xsi:type": "ovf:VirtualSystem_Type", "id": "ldg1"}
    assert content.children[0].attributes == {"xsi:type": "ovf:ResourceAllocationSection_Type"}
    info = content.children[0].children[0]
    assert [child.name for child in info.children][:3] == ["rasd:OtherResourceType", "uuid", "rasd:Address"]
    cpu = content.children[1].children[0]
    assert [(child.name, child.text) for child in cpu.children] == [
        ("rasd:OtherResourceType", "cpu"), ("rasd:AllocationUnits", "8"), ("gprop:GenericProperty", "0")]  # fmt: skip
    assert '<gprop:GenericProperty key="name">auto-boot?</gprop:GenericProperty>' in text


GUIDE = """<?xml version="1.0"?>
<LDM_interface version="1.3">
  <cmd>
    <action>add-domain</action>
    <data version="3.0">
      <Envelope>
        <References/>
        <Content xsi:type="ovf:VirtualSystem_Type" ovf:id="ldg1">
          <Section xsi:type="ovf:VirtualHardwareSection_Type">
            <Item>
              <rasd:OtherResourceType>cpu</rasd:OtherResourceType>
              <rasd:AllocationUnits>8</rasd:AllocationUnits>
              <gprop:GenericProperty key="wcore">1</gprop:GenericProperty>
            </Item>
            <Item>
              <rasd:OtherResourceType>memory</rasd:OtherResourceType>
              <rasd:AllocationUnits>4G</rasd:AllocationUnits>
            </Item>
          </Section>
        </Content>
      </Envelope>
    </data>
  </cmd>
</LDM_interface>
"""


def test_a_document_of_the_guide_is_read() -> None:
    (document,) = read_documents(GUIDE)
    assert document.name == "ldg1" and document.mac is None
    assert document.fields == {"cpus": Cpus(vcpus=8, whole_core=True, cores=1),
                               "memory": MemoryAmount(size_bytes=4 << 30)}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "line"), [
    ("</Item>\n            <Item>", "<Item>", "xml.malformed", 18),
    ("<References/>", "<References>", "xml.malformed", 21),
    ('version="1.3"', 'version="2.0"', "xml.version", 2),
    ('version="1.3"', "", "xml.missing", 2),
    ('<data version="3.0">', '<data version="4.0">', "xml.version", 5),
    ("<References/>", "<Reference/>", "xml.element", 7),
    ("<cmd>", "<cmd>hello", "xml.text", 3),
    (">cpu<", ">gpu<", "xml.resource", 10),
    ('key="wcore"', 'key="cores"', "xml.key", 13),
    ('key="wcore"', "", "xml.missing", 13),
    (">memory<", ">cpu<", "xml.twice", 15),
    (">8<", ">eight<", "xml.value", 10),
    (">4G<", ">4 elephants<", "xml.value", 15),
    ("ovf:id", "name", "xml.missing", 8),
    ("<rasd:OtherResourceType>memory</rasd:OtherResourceType>", "", "xml.missing", 15),
    ("<References/>", "<?xml version='1.0'?>", "xml.malformed", 7),
    ('<?xml version="1.0"?>', '<!DOCTYPE a [<!ENTITY b "c">]>', "xml.doctype", 1),
    ("4G", "&b;", "xml.malformed", 17),
    ("4G", "\x01", "xml.malformed", 17),
    ("LDM_interface", "LDM_event", "xml.element", 2),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, code: str, line: int) -> None:
    assert old in GUIDE
    with pytest.raises(RefusedError) as caught:
        read_documents(GUIDE.replace(old, new))
    assert caught.value.code == code
    assert f"line {line}, column " in caught.value.text


def test_entities_of_the_outside_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>\n<LDM_interface version="1.3">&x;'
    with pytest.raises(RefusedError) as caught:
        read_documents(text)
    assert caught.value.code == "xml.doctype"


def test_size_and_depth_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "<a>" * (DEPTH_LIMIT + 1) + "</a>" * (DEPTH_LIMIT + 1)
    with pytest.raises(RefusedError) as caught:
        parse(deep)
    assert caught.value.code == "xml.limit"
    parse("<a>" * DEPTH_LIMIT + "</a>" * DEPTH_LIMIT)
    monkeypatch.setattr("ldmd.xmlif.tree.SIZE_LIMIT", 100)
    with pytest.raises(RefusedError) as caught:
        parse(f"<a>{'x' * 100}</a>")
    assert caught.value.code == "xml.size"
    monkeypatch.setattr("ldmd.xmlif.tree.SIZE_LIMIT", 10_000)
    monkeypatch.setattr("ldmd.xmlif.tree.ELEMENTS_LIMIT", 10)
    with pytest.raises(RefusedError) as caught:
        parse(f"<a>{'<b/>' * 10}</a>")
    assert caught.value.code == "xml.limit"


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        read_documents(text)


@given(st.integers(0, 2**32))
def test_a_damaged_document_is_read_or_refused(seed: int) -> None:
    rng = Random(seed)
    text = list(GUIDE)
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(text))
        text[place : place + rng.randrange(3)] = rng.choice(["", "<", ">", "&", '"', "0", "\n", "<b>", "</Item>"])
    with contextlib.suppress(RefusedError):
        admit(server(), read_documents("".join(text)), spare=[1, 2, 3], new_uuid=uuids())


@given(TEXTS)
def test_text_survives(text: str) -> None:
    assert parse(to_text(Element("a", {"b": text.replace("\n", " ").replace("\t", " ").replace("\r", " ")},
                                 text=text))).text == text  # fmt: skip


def test_what_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        export([domain("ldg1", 1, variables=(("nvramrc", "a\x00b"),))])
    assert caught.value.code == "xml.character"


def test_admission_checks_what_the_commands_check() -> None:
    guest = domain("ldg1", 1, vnets=(Vnet(name="n", service="vsw0", mac=0x144FF81000),))
    text = export([guest])

    def code(configuration: Configuration, changed: str = text) -> str:
        with pytest.raises(RefusedError) as caught:
            admit(configuration, read_documents(changed), spare=(), new_uuid=uuids())
        return caught.value.code

    assert code(server(guest)) == "domain.exists"
    other = text.replace('id="ldg1"', 'id="ldg2"')
    assert code(server(guest), other) == "xml.value"  # the same MAC address
    assert code(server(replace(guest, mac=5, vnets=())), other) == "xml.value"  # the same uuid
    assert code(server(), text.replace('id="ldg1"', 'id="a b"')) == "domain.name"
    assert code(server(), text.replace('id="ldg1"', 'id="primary"')) == "xml.control"
    assert code(server(), text.replace(">native<", ">sparc64-class1<")) == "xml.value"
    assert code(server(), text.replace(">vsw0<", ">a b<")) == "xml.value"
    sections = text[text.index('    <Section xsi:type="ovf:VirtualH') : text.index("</Content>")]
    twice = text.replace("</Content>", sections + "</Content>")
    with pytest.raises(RefusedError):
        admit(server(), read_documents(twice), spare=(), new_uuid=uuids())


# -- operations


def test_a_configured_system_is_exported_and_set_up_again(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    one = make_manager()
    done(one, "add-vds", vds="primary-vds0", domain="primary")
    done(one, "add-vdsdev", backend=str(tmp_path / "disk"), volume="vol1@primary-vds0")
    done(one, "add-vsw", vswitch="vsw0", domain="primary", net_dev="net0", vid="7")
    done(one, "add-vcc", vcc="primary-vcc0", domain="primary", port_range="5000-5100")
    put_guest(one, "ldg1")
    done(one, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1")
    done(one, "add-vnet", vnet="n0", vswitch="vsw0", domain="ldg1")
    text = done(one, "export-domain").result
    two = make_manager(seed=2)
    outcome = done(two, "init-system", xml=text)
    first, second = one.configuration, two.configuration
    assert second.primary.disk_servers == first.primary.disk_servers and second.primary.vccs == first.primary.vccs
    assert [(s.name, s.mac, s.vids) for s in second.primary.switches] == [
        (s.name, s.mac, s.vids) for s in first.primary.switches]  # fmt: skip
    found, original = second.find("ldg1"), first.find("ldg1")
    assert found is not None and original is not None and constraints_of(found) == constraints_of(original)
    pending = second.pending_for("primary")  # its own resources come with its reboot
    assert pending is not None and pending.domain.cpus == first.primary.cpus
    assert pending.domain.memory == first.primary.memory and "delayed reconfiguration" in outcome.out
    reboot(two)
    done(two, "start-domain", xml=done(two, "export-domain", domains=["ldg1"]).result)
    assert refused(two, "init-system", xml=text) == "init.not-factory"
    assert refused(two, "init-system", xml=text, **{"factory_check_off": True}) == "xml.value"


def test_services_only(tmp_path: Path) -> None:
    one = make_manager()
    done(one, "add-vsw", vswitch="vsw0", domain="primary")
    put_guest(one, "ldg1")
    done(one, "add-vds", vds="guest-vds0", domain="ldg1")
    text = done(one, "export-domain").result
    two = make_manager(seed=2)
    put_guest(two, "ldg1")
    assert refused(two, "remove-vcc", vcc="guests-vcc0", force=True) == "console.bound-to"
    done(two, "unbind-domain", domain="ldg1")
    done(two, "remove-vcc", vcc="guests-vcc0")
    done(two, "init-system", xml=text, services_only=True, factory_check_off=True)
    assert two.configuration.find_vsw("vsw0") and two.configuration.find_vds("guest-vds0")
    assert len(two.configuration.domains) == 2


def test_the_control_domains_resources_wait_for_its_reboot() -> None:
    one = make_manager()
    text = done(one, "export-domain", domains=["primary"]).result
    assert text.count("<rasd:AllocationUnits>256<") == 1
    two = make_manager(seed=2)
    smaller = text.replace("<rasd:AllocationUnits>256<", "<rasd:AllocationUnits>16<")
    outcome = done(two, "init-system", xml=smaller)
    assert outcome.out.startswith("Initiating a delayed reconfiguration operation on the primary domain.")
    pending = two.configuration.pending_for("primary")
    assert pending is not None and pending.domain.cpus.vcpus == 16 == len(pending.domain.binding.vcpus)  # type: ignore[union-attr]
    assert two.configuration.primary.cpus.vcpus == 256


def test_no_domain_is_no_document() -> None:
    manager = make_manager()
    assert refused(manager, "init-system", xml='<LDM_interface version="1.3"/>') == "xml.no-domain"
    assert refused(manager, "export-domain", domains=["nobody"]) == "domain.not-found"
