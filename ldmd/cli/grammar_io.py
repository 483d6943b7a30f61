"""Sub-commands for PCIe buses, devices and virtual functions, and for hardware of single makers."""

from __future__ import annotations

from ldmd.cli.grammar_domain import DOMAIN
from ldmd.cli.syntax import AnyProperty, Command, Operand, Option, Property, form

GROUP = "Input and output"
_DEVICE = Operand(argument="device", shown="(device | vf-name | bus)", kind="io", help="a row of `ldm list-io`")
_PF = Operand(argument="pf", shown="pf-name", kind="pf", help="a physical function")
_NUMBER = Option(flag="-n", argument="number", value="number | max", required=True,
                 help="so many, or as many as it can")  # fmt: skip
_ANY = AnyProperty(help="properties that only the device knows")
_VF_PROPERTIES = (
    Property(name="mac-addr", values="MAC-address", help="MAC address; without it one is chosen"),
    Property(name="alt-mac-addrs", values="auto|MAC-address[,...]", clears=True, help="further MAC addresses"),
    Property(name="pvid", values="VLAN-ID", clears=True, help="VLAN of untagged frames"),
    Property(name="vid", values="VLAN-ID1,VLAN-ID2,...", clears=True, help="VLANs of tagged frames"),
    Property(name="mtu", values="size", clears=True, help="bytes of a frame"),
    Property(name="port-wwn", values="value", help="port world-wide name"),
    Property(name="node-wwn", values="value", help="node world-wide name"),
    Property(name="bw-percent", values="value", clears=True, help="share of the bandwidth"),
)
_OF_SOCKET = (
    Property(name="vcpu", values="num", help="virtual CPUs"),
    Property(name="core", values="num", help="cores"),
    Property(name="memory", values="size[unit]", help="memory"),
    Property(name="socket_id", values="id", required=True, help="socket"),
)

TABLE = (
    Command(name="add-io", group=GROUP, help="give a bus, a device or a virtual function to a domain", forms=(
        form(Property(name="iov", values="on|off", choices=("on", "off"), help="whether virtual functions can be made"),
             _DEVICE, DOMAIN),
    )),
    Command(name="remove-io", group=GROUP, help="take a bus, a device or a virtual function from a domain", forms=(
        form(Option(flag="-n", argument="no_reboot", help="only say whether it could be done"), _DEVICE, DOMAIN),
    )),
    Command(name="set-io", group=GROUP, help="change a bus, a physical or a virtual function", forms=(
        form(Property(name="iov", values="on|off", choices=("on", "off"), help="whether virtual functions can be made"),
             *_VF_PROPERTIES, _ANY, _DEVICE),
    )),
    Command(name="create-vf", group=GROUP, help="make virtual functions", forms=(
        form(_NUMBER, _PF),
        form(*_VF_PROPERTIES, _ANY, _PF),
    )),
    Command(name="destroy-vf", group=GROUP, help="remove virtual functions", forms=(
        form(_NUMBER, Operand(argument="device", shown="pf-name", kind="pf", help="a physical function")),
        form(Operand(argument="device", shown="vf-name", kind="io", help="a virtual function")),
    )),
    Command(name="set-socket", group="Hardware", help="bind a domain to sockets (Fujitsu)", forms=(
        form(Option(flag="-f", argument="force", help="also where resources must move"),
             Property(name="socket_id", values="id[,id...]", clears=True, required=True, help="sockets"), DOMAIN),
    )),
    Command(name="grow-socket", group="Hardware", help="add resources of a socket to a domain (Fujitsu)", forms=(
        form(*_OF_SOCKET, DOMAIN),
    )),
    Command(name="shrink-socket", group="Hardware", help="take resources of a socket from a domain (Fujitsu)", forms=(
        form(*_OF_SOCKET, DOMAIN),
    )),
    Command(name="add-cmi", group="Hardware", help="add coherent memory interfaces to a domain (M7)", forms=(
        form(Operand(argument="count", shown="num", help="number of interfaces"), DOMAIN),
        form(Property(name="cmi_id", values="id[,id...]", required=True, help="these interfaces"), DOMAIN),
    )),
    Command(name="set-cmi", group="Hardware", help="set the coherent memory interfaces of a domain (M7)", forms=(
        form(Operand(argument="count", shown="num", help="number of interfaces"), DOMAIN),
        form(Property(name="cmi_id", values="id[,id...]", clears=True, required=True, help="these interfaces"), DOMAIN),
    )),
    Command(name="remove-cmi", group="Hardware", help="take coherent memory interfaces from a domain (M7)", forms=(
        form(Option(flag="-f", argument="force", help="force it"),
             Operand(argument="count", shown="num", help="number of interfaces"), DOMAIN),
        form(Option(flag="-f", argument="force", help="force it"),
             Property(name="cmi_id", values="id[,id...]", required=True, help="these interfaces"), DOMAIN),
    )),
    Command(name="set-logctl", group="Hardware", help="choose what the manager logs (3.5)", forms=(
        form(Option(flag="-d", argument="defaults", required=True, help="what it logs by default")),
        form(*(Property(name=name, values="on|off", choices=("on", "off"), help=f"log {name} messages")
               for name in ("cmd", "debug", "info", "notice")),
             Property(name="history", values="num", help="how many commands `ldm list-history` shows")),
    )),
)  # fmt: skip
