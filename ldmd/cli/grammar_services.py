"""Sub-commands for virtual services and the devices that use them: networks, disks, consoles, SCSI, channels."""

from __future__ import annotations

from ldmd.cli.grammar_domain import DOMAIN
from ldmd.cli.syntax import Command, Operand, Option, Property, form

_FORCE = Option(flag="-f", argument="force", help="also where it is in use")
_QUICK = Option(flag="-q", argument="quick", help="do not check the device behind it")
_VSW = Operand(argument="vswitch", shown="vswitch-name", kind="vsw", help="the virtual switch")
_NEW_VSW = Operand(argument="vswitch", shown="vswitch-name", help="name of the new virtual switch")
_VNET = Operand(argument="vnet", shown="if-name", kind="vnet", help="the virtual network interface")
_NEW_VNET = Operand(argument="vnet", shown="if-name", help="name of the new virtual network interface")
_MTU = "bytes of a frame, 1500 to 16000"
_ON_OFF = ("on", "off")


def _vsw_properties(*, clears: bool) -> tuple[Property, ...]:
    sign = "[[+|-]VLAN-ID1,...]" if clears else "VLAN-ID1,VLAN-ID2,..."
    given = () if clears else (Property(name="default-vlan-id", values="VLAN-ID", help="VLAN of untagged frames"),)
    number = () if clears else (Property(name="id", values="switch-ID", help="number of the device"),)
    return (
        *given,
        Property(name="pvid", values="VLAN-ID", clears=clears, help="VLAN of the switch's own untagged frames"),
        Property(name="vid", values=sign, clears=clears, help="VLANs of its tagged frames"),
        Property(name="linkprop", values="phys-state", clears=clears, choices=("", "phys-state"),
                 help="report the state of the physical link"),
        Property(name="mac-addr", values="MAC-address", help="MAC address; without it one is chosen"),
        Property(name="net-dev", values="device", clears=clears, help="network device of the service domain"),
        Property(name="mode", values="sc", clears=clears, choices=("", "sc"), help="priority for cluster heartbeats"),
        Property(name="mtu", values="size", clears=clears, help=_MTU),
        *number,
        Property(name="inter-vnet-link", values="auto|on|off", clears=clears, choices=("", "auto", "on", "off"),
                 help="whether guests reach each other without passing through the switch"),
        Property(name="vsw-relay-mode", values="local|remote", clears=clears, choices=("", "local", "remote"),
                 help="where frames between guests are relayed"),
    )  # fmt: skip


def _vnet_properties(*, clears: bool) -> tuple[Property, ...]:
    rows = (
        ("pvid", "VLAN-ID", "VLAN of untagged frames", ()),
        ("pvlan", "secondary-vid,pvlan-type", "private VLAN: isolated or community", ()),
        ("protection", "type[,type...]", "mac-nospoof, restricted, ip-nospoof/..., dhcp-nospoof/...", ()),
        ("allowed-ips", "ip-address[,ip-address...]", "with ip-nospoof", ()),
        ("priority", "high|medium|low", "of its frames", ("", "high", "medium", "low")),
        ("cos", "0-7", "802.1p class of its frames", ()),
        ("allowed-dhcp-cids", "[MAC-address|hostname,...]", "with dhcp-nospoof", ()),
        ("alt-mac-addrs", "auto|MAC-address[,auto|MAC-address...]", "further MAC addresses", ()),
        ("vid", "[[+|-]VLAN-ID1,...]" if clears else "VLAN-ID1,VLAN-ID2,...", "VLANs of tagged frames", ()),
        ("mode", "hybrid", "use a NIU's hardware where there is one", ("", "hybrid")),
        ("mtu", "size", _MTU, ()),
        ("linkprop", "phys-state", "report the state of the physical link", ("", "phys-state")),
        ("maxbw", "value", "bandwidth limit: a number with K, M or G bits per second", ()),
    )
    mac = Property(name="mac-addr", values="MAC-address", help="MAC address; without it one is chosen")
    last = (
        Property(name="vswitch", values="vswitch-name", help="move it to this switch") if clears
        else Property(name="id", values="network-ID", help="number of the device")
    )  # fmt: skip
    return (mac, *(Property(name=name, values=values, help=text, clears=clears, choices=choices)
                   for name, values, text, choices in rows), last)  # fmt: skip


_NETWORKS = (
    Command(name="add-vsw", group="Networks", help="add a virtual switch to a domain",
            forms=(form(_QUICK, *_vsw_properties(clears=False), _NEW_VSW, DOMAIN),)),
    Command(name="set-vsw", group="Networks", help="change a virtual switch",
            forms=(form(_QUICK, *_vsw_properties(clears=True), _VSW),)),
    Command(name="remove-vsw", group="Networks", help="remove a virtual switch", forms=(form(_FORCE, _VSW),)),
    Command(name="add-vnet", group="Networks", help="add a virtual network interface to a domain",
            forms=(form(*_vnet_properties(clears=False), _NEW_VNET, _VSW, DOMAIN),)),
    Command(name="set-vnet", group="Networks", help="change a virtual network interface",
            forms=(form(*_vnet_properties(clears=True), _VNET, DOMAIN),)),
    Command(name="remove-vnet", group="Networks", help="remove a virtual network interface",
            forms=(form(_FORCE, _VNET, DOMAIN),)),
)  # fmt: skip

_VDS = Operand(argument="vds", shown="service-name", kind="vds", help="the virtual disk server")
_VOLUME = Operand(argument="volume", shown="volume-name@service-name", kind="volume", help="the volume")
_NEW_VOLUME = Operand(argument="volume", shown="volume-name@service-name", kind="new-volume",
                      help="name of the new volume and its server")  # fmt: skip
_DISK = Operand(argument="disk", shown="disk-name", kind="vdisk", help="the virtual disk")
_TIMEOUT = Property(name="timeout", values="seconds", help="how long it waits for a server that is away; 0: for ever")


def _vdsdev_properties(*, clears: bool) -> tuple[Property, ...]:
    return (
        Property(name="options", values="ro,slice,excl", clears=True,
                 help="read-only, as a single slice, opened exclusively"),
        Property(name="mpgroup", values="mpgroup", clears=clears, help="the same backend has this group elsewhere"),
    )  # fmt: skip


_DISKS = (
    Command(name="add-vds", group="Disks", help="add a virtual disk server to a domain", forms=(
        form(Operand(argument="vds", shown="service-name", help="name of the new virtual disk server"), DOMAIN),
    )),
    Command(name="remove-vds", group="Disks", help="remove a virtual disk server", forms=(form(_FORCE, _VDS),)),
    Command(name="add-vdsdev", group="Disks", help="add a volume to a virtual disk server", forms=(
        form(_FORCE, _QUICK, *_vdsdev_properties(clears=False),
             Operand(argument="backend", shown="backend", kind="path", help="a disk image or block device"),
             _NEW_VOLUME),
    )),
    Command(name="set-vdsdev", group="Disks", help="change a volume",
            forms=(form(_FORCE, *_vdsdev_properties(clears=True), _VOLUME),)),
    Command(name="remove-vdsdev", group="Disks", help="remove a volume", forms=(form(_FORCE, _VOLUME),)),
    Command(name="add-vdisk", group="Disks", help="add a virtual disk to a domain", forms=(
        form(_TIMEOUT, Property(name="id", values="disk-ID", help="number of the device"),
             Operand(argument="disk", shown="disk-name", help="name of the new virtual disk"), _VOLUME, DOMAIN),
    )),
    Command(name="set-vdisk", group="Disks", help="change a virtual disk", forms=(
        form(_TIMEOUT, Property(name="volume", values="volume-name@service-name", help="the path it shall take"),
             _DISK, DOMAIN),
    )),
    Command(name="remove-vdisk", group="Disks", help="remove a virtual disk", forms=(form(_FORCE, _DISK, DOMAIN),)),
)  # fmt: skip

_VCC = Operand(argument="vcc", shown="vcc-name", kind="vcc", help="the console concentrator")
_PORTS = Property(name="port-range", values="x-y", required=True, help="TCP ports of the consoles")
_CONSOLES = (
    Command(name="add-vcc", group="Consoles", help="add a console concentrator to a domain", forms=(
        form(_PORTS, Operand(argument="vcc", shown="vcc-name", help="name of the new console concentrator"), DOMAIN),
    )),
    Command(name="set-vcc", group="Consoles", help="change a console concentrator", forms=(form(_PORTS, _VCC),)),
    Command(name="remove-vcc", group="Consoles", help="remove a console concentrator", forms=(form(_FORCE, _VCC),)),
    Command(name="set-vconsole", group="Consoles", help="change the console of a domain", forms=(
        form(
            Property(name="port", values="port-num", clears=True, help="TCP port; without it a free one is taken"),
            Property(name="group", values="group", clears=True, help="console group; default: the domain's name"),
            Property(name="service", values="vcc-server", clears=True, help="console concentrator"),
            Property(name="log", values="on|off", clears=True, choices=("", *_ON_OFF), help="whether output is logged"),
            DOMAIN,
        ),
    )),
)  # fmt: skip

_VSAN = Operand(argument="vsan", shown="vSAN-name", kind="vsan", help="the virtual SAN")
_VHBA = Operand(argument="vhba", shown="vHBA-name", kind="vhba", help="the virtual SCSI adapter")
_SCSI = (
    Command(name="add-vsan", group="SCSI", help="add a virtual SAN to a domain", forms=(
        form(_QUICK, Operand(argument="iport", shown="iport-path", kind="hba", help="initiator port (`ldm list-hba`)"),
             Operand(argument="vsan", shown="vSAN-name", help="name of the new virtual SAN"), DOMAIN),
    )),
    Command(name="remove-vsan", group="SCSI", help="remove a virtual SAN", forms=(form(_VSAN),)),
    Command(name="add-vhba", group="SCSI", help="add a virtual SCSI adapter to a domain", forms=(
        form(Property(name="id", values="vHBA-ID", help="number of the device"),
             Operand(argument="vhba", shown="vHBA-name", help="name of the new virtual SCSI adapter"), _VSAN, DOMAIN),
    )),
    Command(name="set-vhba", group="SCSI", help="change a virtual SCSI adapter",
            forms=(form(_TIMEOUT, _VHBA, DOMAIN),)),
    Command(name="rescan-vhba", group="SCSI", help="look for new devices behind a virtual SCSI adapter",
            forms=(form(_VHBA, DOMAIN),)),
    Command(name="remove-vhba", group="SCSI", help="remove a virtual SCSI adapter",
            forms=(form(_FORCE, _VHBA, DOMAIN),)),
)  # fmt: skip

_VDPCS = Operand(argument="vdpcs", shown="vdpcs-service-name", kind="vdpcs", help="the service")
_CHANNELS = (
    Command(name="add-vdpcs", group="Data plane channels", help="add a data plane channel service to a domain", forms=(
        form(Operand(argument="vdpcs", shown="vdpcs-service-name", help="name of the new service"), DOMAIN),
    )),
    Command(name="remove-vdpcs", group="Data plane channels", help="remove a data plane channel service",
            forms=(form(_FORCE, _VDPCS),)),
    Command(name="add-vdpcc", group="Data plane channels", help="add a data plane channel client to a domain", forms=(
        form(Operand(argument="vdpcc", shown="vdpcc-name", help="name of the new client"), _VDPCS, DOMAIN),
    )),
    Command(name="remove-vdpcc", group="Data plane channels", help="remove a data plane channel client", forms=(
        form(_FORCE, Operand(argument="vdpcc", shown="vdpcc-name", help="the client"), DOMAIN),
    )),
)  # fmt: skip

TABLE = (*_NETWORKS, *_DISKS, *_CONSOLES, *_SCSI, *_CHANNELS)
