"""A domain from plain Python: what its guest finds in the machine description, and what the options mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver_support import ServicesDriver

from emulator.backends.file import FileDisk, create_disk
from emulator.backends.overlay import Overlay
from emulator.cli import main
from emulator.devices.capture import Capture
from emulator.devices.ds import DomainServices
from emulator.devices.lab import CHANNEL_DEVICES, FIRST_MAC, SWITCH_MAC, DiskSpec, NetSpec, build_domain
from emulator.devices.options import make_nets, parse_disk, parse_mac, parse_net
from emulator.devices.switch import Switch, mac_bytes
from emulator.devices.vdisk import DiskOptions, Medium, VirtualDisk
from emulator.errors import ChannelError, ConfigError, StateError
from emulator.machine import Machine
from emulator.mdesc import MachineDescription, Node, decode, encode


class LinuxReader:
    """Finds devices as Linux 6.1 does: vio.c and mdesc.c, sunvnet.c."""

    def __init__(self, md: MachineDescription) -> None:
        self.md = decode(encode(md))

    def ports(self) -> dict[str, dict[str, object]]:
        """vio_init and vio_create_one for every port: name of the device -> what the drivers see."""
        (channel_devices,) = (self.md[n] for n in self.md.find("channel-devices"))
        assert "SUNW,sun4v-channel-devices" in channel_devices.strings("compatible")
        assert channel_devices.get("cfg-handle") == 0x200
        assert isinstance(channel_devices.get("device-type"), str), "the type of the root of the bus"
        found = {}
        for index in self.md.find("virtual-device-port"):
            port = self.md[index]
            parents = self.md.linked(port, arc="back")
            assert isinstance(port.get("id"), int)
            assert isinstance(port.get("name"), str), "get_vdev_port_node_info"
            handle = next(parent.get("cfg-handle") for parent in parents if parent.get("cfg-handle") is not None)
            kind = port.get("device-type") or port.get("name")
            assert isinstance(kind, str)
            assert len(kind) < 32
            found[f"{kind}-{handle}-{port.get('id')}"] = self.channel(port) | {"port": port, "parents": parents}
        for index in self.md.find("domain-services-port"):
            port = self.md[index]
            if any(parent.name == "domain-services" for parent in self.md.linked(port, arc="back")):
                found[f"domain-services-port-{port.get('id')}"] = self.channel(port)
        return found

    def channel(self, port: Node) -> dict[str, object]:
        """vio_fill_channel_info: the last endpoint counts."""
        values: dict[str, object] = {}
        for endpoint in self.md.linked(port):
            for name in ("tx-ino", "rx-ino", "id"):
                values[name] = endpoint.get(name)
        return values


@pytest.fixture
def image(tmp_path: Path) -> Path:
    create_disk(tmp_path / "disk.img", 1 << 20)
    return tmp_path / "disk.img"


def test_what_linux_finds(image: Path) -> None:
    switch = Switch()
    disks = [DiskSpec(image), DiskSpec(image.parent / "two", name="swap", timeout_seconds=30)]
    create_disk(image.parent / "two", 1 << 20)
    nets = [NetSpec(switch), NetSpec(switch, mac=0x0014_4FF8_0777, name="admin", vids=(5, 6))]
    with build_domain("64M", disks=disks, nets=nets) as domain:
        reader = LinuxReader(domain.machine.machine_description)
        ports = reader.ports()
        assert {name: (p["id"], p["tx-ino"], p["rx-ino"]) for name, p in ports.items()} == {
            "domain-services-port-0": (0, 0, 1), "vdc-port-0-0": (1, 2, 3), "vdc-port-1-0": (2, 4, 5),
            "vnet-port-0-0": (3, 6, 7), "vnet-port-1-0": (4, 8, 9),
        }  # fmt: skip
        assert ports["vdc-port-1-0"]["port"].get("vdc-timeout") == 30  # type: ignore[attr-defined]
        for name, mac in (("vnet-port-0-0", FIRST_MAC), ("vnet-port-1-0", 0x0014_4FF8_0777)):
            (parent,) = ports[name]["parents"]  # type: ignore[misc]
            assert parent.get("name") == "network"
            assert parent.get("local-mac-address") == mac
            assert parent.get("mtu") == 1500
            port = ports[name]["port"]
            assert port.get("remote-mac-address") == SWITCH_MAC  # type: ignore[attr-defined]
            assert port.get("switch-port") is not None  # type: ignore[attr-defined]
        platform = reader.md.node("platform")
        assert platform.get("domaining-enabled") == 1
        assert platform.get("mac-address") == FIRST_MAC
        assert [n.get("name") for n in map(reader.md.__getitem__, reader.md.find("virtual-device"))][-4:] == [
            "disk", "disk", "network", "network"
        ]  # fmt: skip
        aliases = reader.md.node("devalias").properties
        assert aliases == {
            "vdisk0": f"{CHANNEL_DEVICES}/disk@0", "swap": f"{CHANNEL_DEVICES}/disk@1",
            "vnet0": f"{CHANNEL_DEVICES}/network@0", "admin": f"{CHANNEL_DEVICES}/network@1",
            "disk": f"{CHANNEL_DEVICES}/disk@0", "net": f"{CHANNEL_DEVICES}/network@0",
        }  # fmt: skip
        for number in range(5):
            assert domain.machine.channel(number).info.up, "from the first look on"
        assert [port.name for port in switch.ports] == ["vnet0", "admin"]
        assert domain.services.variables == {}
    assert switch.ports == ()
    FileDisk(image).close()


def test_disks_as_asked_for(image: Path, tmp_path: Path) -> None:
    before = image.read_bytes()
    for words, kind, read_only in (
        ("", FileDisk, False), (",ro", FileDisk, True), (",cow", Overlay, False),
        (f",overlay={tmp_path}/changes", Overlay, False),
    ):  # fmt: skip
        with build_domain("64M", disks=[parse_disk(f"{image}{words}")]) as domain:
            (disk,) = domain.disks
            assert isinstance(disk.backend, kind)
            assert disk.backend.read_only is read_only
            if kind is Overlay:
                disk.backend.write(0, b"x" * 512)
    assert image.read_bytes() == before
    with build_domain("64M", disks=[parse_disk(f"{image},overlay={tmp_path}/changes")]) as domain:
        assert domain.disks[0].backend.read(0, 512) == b"x" * 512


def test_an_open_backend_stays_open(image: Path) -> None:
    with FileDisk(image) as backend:
        build_domain("64M", disks=[DiskSpec(backend)]).close()
        assert backend.read(0, 512) == bytes(512)


def test_what_cannot_be_built_leaves_nothing_behind(image: Path) -> None:
    switch = Switch()
    for disks, nets in (
        ([DiskSpec(image), DiskSpec(image)], [NetSpec(switch)]), ([DiskSpec(image), DiskSpec("missing")], []),
        ([DiskSpec(image)], [NetSpec(switch, vids=(0,))]), ([DiskSpec(image)], [NetSpec(switch, mtu=100)]),
        ([DiskSpec(image)], [NetSpec(switch, name="same"), NetSpec(switch, name="same")]),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            build_domain("64M", disks=disks, nets=nets)
        assert switch.ports == ()
        FileDisk(image).close()


# -- devices of a machine


def test_attaching() -> None:
    with Machine("16M", deterministic=True) as machine:
        one = DomainServices("ds", 3)
        machine.attach(one)
        for device in (DomainServices("ds", 4), DomainServices("other", 3)):
            with pytest.raises(ConfigError):
                machine.attach(device)
        machine.connect_channels(7, 8)
        with pytest.raises(ChannelError):
            machine.attach(DomainServices("other", 7))
        assert list(machine.devices) == [one]
        machine.detach("ds")
        with pytest.raises(ChannelError):
            machine.channel(3)
        with pytest.raises(ConfigError):
            machine.detach("ds")
        with pytest.raises(ChannelError, match="attached"):
            _ = DomainServices("x", 1).channel


def test_a_machine_without_devices_has_the_state_it_had() -> None:
    with Machine("16M", deterministic=True) as one, Machine("16M", deterministic=True) as two:
        state = one.save()
        two.attach(DomainServices("ds", 3))
        with pytest.raises(StateError, match="ds"):
            two.load(state)


def test_variables_are_those_of_the_description(image: Path) -> None:
    with build_domain("64M", variables={"auto-boot?": "false"}) as domain:
        md = domain.machine.machine_description
        assert md.node("variables").properties == {"auto-boot?": "false"}
        assert domain.services.variables == {"auto-boot?": "false"}
        assert ServicesDriver.message(9, b"ab") == b"\0\0\0\x09\0\0\0\2ab"


# -- command line


def test_words_of_disks() -> None:
    spec = parse_disk("a,,b.iso,ro,cd,name=cdrom")
    assert (spec.backend, spec.read_only, spec.name) == ("a,b.iso", True, "cdrom")
    assert spec.options == DiskOptions(medium=Medium.CD)
    spec = parse_disk("d,sync,slice,cow,overlay=x")
    assert (spec.copy_on_write, spec.overlay) == (True, "x")
    assert spec.options == DiskOptions(slice=True, write_through=True)
    for bad in ("", ",ro", "d,rw", "d,ro,cow", "d,ro,overlay=x", "d,size=5", "d,"):
        with pytest.raises(ConfigError, match="--disk"):
            parse_disk(bad)


def test_words_of_networks(tmp_path: Path) -> None:
    words = parse_net(f"mac=0:14:4f:F8:0:7,vlan=12,name=lan,capture={tmp_path}/c")
    assert (words.mac, words.vlan, words.name) == (0x0014_4FF8_0007, 12, "lan")
    assert parse_net("default") == parse_net("default,default")
    for bad in ("vlan=0", "vlan=4095", "vlan=x", "mac=1:2:3", "mac=01:2:3:4:5:6", "mac=g:2:3:4:5:6",
                "mac=100:2:3:4:5:6", "speed=1", "x"):  # fmt: skip
        with pytest.raises(ConfigError):
            parse_net(bad)
    assert parse_mac("2:0:0:0:0:ff") == int.from_bytes(mac_bytes(0x0200_0000_00FF), "big")
    specs, captures = make_nets([words, words], Switch())
    assert isinstance(specs[0].capture, Capture)
    assert len(captures) == 1, "one file for both"
    captures[0].close()
    assert (tmp_path / "c").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["--disk", "missing.img"], "missing.img: No such file"), (["--disk", "x,rw"], "--disk x,rw: unknown: rw"),
     (["--net", "fast"], "--net fast: unknown: fast"), (["--net", "capture=/no/such/folder/c"], "/no/such/folder/c")],
)  # fmt: skip
def test_errors_of_the_command(arguments: list[str], error: str, capfd: pytest.CaptureFixture[str]) -> None:
    hello = Path(__file__).resolve().parents[2] / "images/prebuilt/hello.elf"
    assert main(["run", str(hello), *arguments]) == 2
    assert error in capfd.readouterr().err


def test_a_program_with_a_disk_runs(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hello = Path(__file__).resolve().parents[2] / "images/prebuilt/hello.elf"
    if not hello.exists():
        pytest.skip("images/prebuilt/hello.elf is not there")
    assert main(["run", str(hello), "--disk", f"{image},cow", "--net", "default"]) == 0
    assert capfd.readouterr().err == ""
    FileDisk(image).close()


def test_kinds_of_devices(image: Path) -> None:
    with build_domain("64M", disks=[DiskSpec(image)]) as domain:
        assert [type(device) for device in domain.machine.devices] == [DomainServices, VirtualDisk]
        assert len(domain.machine.devices) == 2
