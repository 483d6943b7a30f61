"""Consoles (vcc, vconsole), virtual SANs and host bus adapters, data plane channels (ldm(1M) of 3.3)."""

from __future__ import annotations

from ldmd.messages import refuse
from ldmd.model import Vcc, Vdpcc, Vhba, Vsan
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.guestdevices import change_devices, commit_change, remove_device
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen
from ldmd.planner import concentrators, storage
from ldmd.planner.devices import ID_LIMIT
from ldmd.planner.disks import TIMEOUT_LIMIT
from ldmd.planner.naming import find_domain


@operation("add-vcc")
def add_vcc(context: Context, arguments: Arguments) -> None:
    """vcc, domain, port-range."""
    domain = arguments.text("domain")
    first, last = concentrators.parse_range(arguments.text("port-range"))
    vcc = Vcc(name=arguments.text("vcc"), first_port=first, last_port=last)
    commit_change(context, domain, lambda now: concentrators.add_vcc(now, vcc, domain=domain))


@operation("set-vcc")
def set_vcc(context: Context, arguments: Arguments) -> None:
    """vcc, port-range."""
    name = arguments.text("vcc")
    first, last = concentrators.parse_range(arguments.text("port-range"))
    owner, _ = concentrators.find_vcc(foreseen(context), name)
    commit_change(context, owner.name,
                  lambda now: concentrators.set_vcc(now, name, first_port=first, last_port=last))  # fmt: skip


@operation("remove-vcc")
def remove_vcc(context: Context, arguments: Arguments) -> None:
    """vcc, force."""
    name, force = arguments.text("vcc"), arguments.flag("force")
    owner, _ = concentrators.find_vcc(foreseen(context), name)
    commit_change(context, owner.name, lambda now: concentrators.remove_vcc(now, name, force=force), removes=True)


@operation("set-vconsole")
def set_vconsole(context: Context, arguments: Arguments) -> None:
    """domain, port, group, service, log."""
    domain = arguments.text("domain")
    properties = {name: arguments.optional(name) for name in ("port", "group", "service")}
    log = arguments.choice("log", "on", "off", "")
    if log is None and set(properties.values()) == {None}:
        refuse("property.needed", choices="port=, group=, service=, log=")
    commit_change(context, domain, lambda now: concentrators.set_vconsole(
        now, domain, port=properties["port"], group=properties["group"], service=properties["service"],
        log=log))  # fmt: skip


# -- storage area networks


@operation("add-vsan")
def add_vsan(context: Context, arguments: Arguments) -> None:
    """iport, vsan, domain, quick."""
    domain, quick = arguments.text("domain"), arguments.flag("quick")
    vsan = Vsan(name=arguments.text("vsan"), iport=arguments.text("iport"))
    commit_change(context, domain, lambda now: storage.add_vsan(now, vsan, domain=domain, quick=quick))


@operation("remove-vsan")
def remove_vsan(context: Context, arguments: Arguments) -> None:
    """vsan."""
    name = arguments.text("vsan")
    owner, _ = storage.find_vsan(foreseen(context), name)
    commit_change(context, owner.name, lambda now: storage.remove_vsan(now, name), removes=True)


@operation("add-vhba")
def add_vhba(context: Context, arguments: Arguments) -> None:
    """vhba, vsan, domain, id."""
    domain = arguments.text("domain")
    vhba = Vhba(name=arguments.text("vhba"), vsan=arguments.text("vsan"),
                id=arguments.optional_number("id", most=ID_LIMIT))  # fmt: skip
    change_devices(context, domain, lambda now: storage.add_vhba(now, vhba, domain=domain),
                   kind=storage.VHBA, device=vhba.name)  # fmt: skip


@operation("set-vhba")
def set_vhba(context: Context, arguments: Arguments) -> None:
    """vhba, domain, timeout; ``timeout=`` sets the default, 0."""
    name, domain = arguments.text("vhba"), arguments.text("domain")
    if "timeout" not in arguments:
        refuse("property.needed", choices="timeout=")
    timeout = arguments.optional_number("timeout", most=TIMEOUT_LIMIT) or 0
    commit_change(context, domain, lambda now: storage.set_vhba(now, name, domain=domain, timeout=timeout))


@operation("rescan-vhba")
def rescan_vhba(context: Context, arguments: Arguments) -> None:
    """vhba, domain. There are no physical units behind our virtual SANs, so that nothing new is ever found."""
    name = arguments.text("vhba")
    guest = find_domain(context.configuration, arguments.text("domain"))
    storage.find_vsan(context.configuration, storage.find_vhba(guest, name).vsan)


@operation("remove-vhba")
def remove_vhba(context: Context, arguments: Arguments) -> None:
    """vhba, domain, force."""
    name, domain, force = arguments.text("vhba"), arguments.text("domain"), arguments.flag("force")
    remove_device(context, domain, storage.VHBA, name=name, force=force,
                  plan=lambda now: storage.remove_vhba(now, name, domain=domain))  # fmt: skip


# -- data plane channels


@operation("add-vdpcs")
def add_vdpcs(context: Context, arguments: Arguments) -> None:
    """vdpcs, domain."""
    name, domain = arguments.text("vdpcs"), arguments.text("domain")
    commit_change(context, domain, lambda now: storage.add_vdpcs(now, name, domain=domain))


@operation("remove-vdpcs")
def remove_vdpcs(context: Context, arguments: Arguments) -> None:
    """vdpcs, force."""
    name, force = arguments.text("vdpcs"), arguments.flag("force")
    owner = storage.find_vdpcs(foreseen(context), name)
    commit_change(context, owner.name, lambda now: storage.remove_vdpcs(now, name, force=force), removes=True)


@operation("add-vdpcc")
def add_vdpcc(context: Context, arguments: Arguments) -> None:
    """vdpcc, vdpcs, domain."""
    domain = arguments.text("domain")
    client = Vdpcc(name=arguments.text("vdpcc"), service=arguments.text("vdpcs"))
    commit_change(context, domain, lambda now: storage.add_vdpcc(now, client, domain=domain))


@operation("remove-vdpcc")
def remove_vdpcc(context: Context, arguments: Arguments) -> None:
    """vdpcc, domain, force."""
    name, domain = arguments.text("vdpcc"), arguments.text("domain")
    commit_change(context, domain, lambda now: storage.remove_vdpcc(now, name, domain=domain), removes=True)
