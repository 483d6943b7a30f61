"""Physical I/O: add-io, remove-io, set-io, create-vf, destroy-vf, list-io (ldm(1M) of 3.3)."""

from __future__ import annotations

import re
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.guestdevices import begin_delayed, commit_change
from ldmd.operations.macs import check_given, claim_macs
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen
from ldmd.planner import io, iobuses, macs, vlans
from ldmd.planner.iobuses import BUS, PF
from ldmd.planner.naming import steady_domain

FUNCTION_PROPERTIES = ("mac-addr", "alt-mac-addrs", "pvid", "vid", "mtu", "port-wwn", "node-wwn", "bw-percent")
_OPERANDS = frozenset({"device", "pf", "number", "domain", "iov", "no_reboot"})
_WWN = re.compile(r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2}){7}")


@operation("add-io")
def add_io(context: Context, arguments: Arguments) -> None:
    """device, domain, iov (for a bus)."""
    domain, iov = arguments.text("domain"), arguments.choice("iov", "on", "off")
    target = io.find_target(foreseen(context), arguments.text("device"))
    if iov is not None and not target.whole_bus:
        refuse("io.iov-choice", name=target.name)

    def plan(now: Configuration) -> Configuration:
        planned = io.add_io(now, target, domain=domain)
        return planned if iov is None else io.set_iov(planned, target.name, on=iov == "on")

    _carry_out(context, domain, target, plan)


def _carry_out(context: Context, domain: str, target: io.Target, plan: Any) -> None:
    """The change, with a delayed reconfiguration begun where the running domain needs one."""
    guest = steady_domain(context.configuration, domain)
    if io.needs_reboot(context.configuration, guest, target):
        plan(foreseen(context))
        begin_delayed(context, domain)
    commit_change(context, domain, plan, io=True)


@operation("remove-io")
def remove_io(context: Context, arguments: Arguments) -> None:
    """device, domain, no_reboot: only say whether it can be removed without a reboot."""
    domain = arguments.text("domain")
    target = io.find_target(foreseen(context), arguments.text("device"))
    if arguments.flag("no_reboot"):
        io.remove_io(foreseen(context), target, domain=domain)
        later = io.needs_reboot(context.configuration, steady_domain(context.configuration, domain), target)
        context.say(f"{target.name} can be removed from LDom {domain} " +
                    ("with its next reboot only" if later else "at once"))  # fmt: skip
        return
    _carry_out(context, domain, target, lambda now: io.remove_io(now, target, domain=domain))


# -- properties


def _given(arguments: Arguments) -> dict[str, str]:
    """All properties that were given."""
    return {name: arguments.optional(name) or "" for name in arguments.names if name not in _OPERANDS}


def _wwn(text: str) -> str:
    if _WWN.fullmatch(text) is None:
        refuse("io.wwn", value=text)
    digits = text.replace(":", "").lower()
    return ":".join(digits[at : at + 2] for at in range(0, 16, 2))


def _percent(text: str) -> str:
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 100:
        refuse("io.percent", value=text)
    return text


def _function_properties(
    context: Context, given: dict[str, str], *, before: dict[str, str], name: str
) -> dict[str, str]:
    """Checked texts of properties of a network or fibre channel function."""
    checked = {}
    readers = {
        "pvid": lambda text: str(vlans.parse_vlan(text)),
        "vid": lambda text: ",".join(map(str, vlans.parse_vlans(text))),
        "mtu": lambda text: str(vlans.parse_mtu(text)),
        "port-wwn": _wwn, "node-wwn": _wwn, "bw-percent": _percent,
    }  # fmt: skip
    for key, text in given.items():
        if key not in FUNCTION_PROPERTIES:
            refuse("io.property", property=key, name=name, choices=", ".join(FUNCTION_PROPERTIES))
        if key not in ("mac-addr", "alt-mac-addrs"):
            checked[key] = readers[key](text) if text else ""
    if checked.get("pvid") and checked["pvid"] in checked.get("vid", before.get("vid", "")).split(","):
        refuse("network.vlan-both", vlan=checked["pvid"])
    return checked | _function_macs(context, given, before)


def _function_macs(context: Context, given: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """Addresses by hand are checked; each "auto", and mac-addr where it was never given, takes an automatic one."""
    found: dict[str, str] = {}
    chosen: list[int] = []

    def another() -> int:
        mac = next(each for each in claim_macs(context, len(chosen) + 1) if each not in chosen)
        chosen.append(mac)
        return mac

    def address(text: str, now: str) -> str:
        if text == "auto":
            return macs.format_mac(another())
        mac = macs.parse_mac(text)
        check_given(context, context.configuration, mac, now=mac if macs.format_mac(mac) in now.split(",") else None)
        if mac in chosen:
            refuse("network.mac-in-use", mac=macs.format_mac(mac), owner="the same device")
        chosen.append(mac)
        return macs.format_mac(mac)

    if given.get("mac-addr") or "mac-addr" not in before:
        found["mac-addr"] = address(given.get("mac-addr") or "auto", before.get("mac-addr", ""))
    if "alt-mac-addrs" in given:
        texts = [text for text in given["alt-mac-addrs"].split(",") if text]
        found["alt-mac-addrs"] = ",".join(address(text, before.get("alt-mac-addrs", "")) for text in texts)
    return found


def _take(configuration: Configuration, properties: dict[str, str]) -> Configuration:
    for name in ("mac-addr", "alt-mac-addrs"):
        for text in filter(None, properties.get(name, "").split(",")):
            configuration = macs.take(configuration, macs.parse_mac(text))
    return configuration


@operation("set-io")
def set_io(context: Context, arguments: Arguments) -> None:
    """device + properties: iov=on|off of a bus, properties of a physical or virtual function."""
    name = arguments.text("device")
    iov, given = arguments.choice("iov", "on", "off"), _given(arguments)
    function = io.find_function(context.configuration, name)
    if iov is None and not given:
        refuse("property.needed", choices=", ".join(f"{each}=" for each in ("iov", *FUNCTION_PROPERTIES)))
    if function is not None:
        if iov is not None:
            refuse("io.iov-choice", name=name)
        pf = iobuses.known_device(context.configuration, function.pf)
        root = iobuses.bus_owner(context.configuration, pf.bus)
        before = dict(function.properties)
        checked = _function_properties(context, given, before=before, name=name)
        freed = [text for key in checked if key.endswith(("addr", "addrs")) for text in before.get(key, "").split(",")]
        commit_change(context, root.name if root else "primary", lambda now: _free(
            io.set_function(_take(now, checked), name, changes=checked), freed), io=True)  # fmt: skip
        return
    _set_device(context, name, iov, given)


def _free(configuration: Configuration, texts: list[str]) -> Configuration:
    used = macs.macs_in_use(configuration)
    for text in filter(None, texts):
        if macs.parse_mac(text) not in used:
            configuration = macs.free(configuration, macs.parse_mac(text))
    return configuration


def _set_device(context: Context, name: str, iov: str | None, given: dict[str, str]) -> None:
    device = iobuses.known_device(context.configuration, name)
    if iov is not None:
        if device.kind != BUS:
            refuse("io.iov-choice", name=name)
        if given:
            refuse("io.property", property=next(iter(given)), name=name, choices="iov")
        target = io.find_target(foreseen(context), name)
        root = iobuses.bus_owner(foreseen(context), device.bus)
        if root is None:
            refuse("io.no-root", name=name, bus=device.bus)
        if (device.name in context.configuration.iov_buses) == (iov == "on"):
            return
        _carry_out(context, root.name, target, lambda now: io.set_iov(now, device.name, on=iov == "on"))
        return
    if device.kind != PF:
        refuse("io.property", property=next(iter(given)), name=name, choices="iov" if device.kind == BUS else "none")
    if given.get("mtu"):
        vlans.parse_mtu(given["mtu"])
    _, root = io.find_pf(foreseen(context), name)
    commit_change(context, root.name, lambda now: io.set_pf(now, name, changes=given), io=True)


# -- virtual functions


def _count(arguments: Arguments) -> int | None:
    """A number, or None for ``max``."""
    text = arguments.text("number")
    if text == "max":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or int(text) == 0:
        refuse("io.count", value=text)
    return int(text)


@operation("create-vf")
def create_vf(context: Context, arguments: Arguments) -> Any:
    """pf, number(-n) | properties of the one function that is made. Prints the names: {"functions": [name]}."""
    pf, given = arguments.text("pf"), _given(arguments)
    count = _count(arguments) if "number" in arguments else 1
    names, _ = io.create_vfs(foreseen(context), pf, count=count)
    _, root = io.find_pf(foreseen(context), pf)
    if count == 1:
        wanted = [_function_properties(context, given, before={}, name=pf)]
    else:
        for key in given:
            refuse("io.property", property=key, name=f"create-vf -n {arguments.text('number')}", choices="none")
        wanted = [{"mac-addr": macs.format_mac(mac)} for mac in claim_macs(context, len(names))]

    def plan(now: Configuration) -> Configuration:
        for properties in wanted:
            _, now = io.create_vfs(_take(now, properties), pf, count=1,
                                   properties=tuple((key, value) for key, value in properties.items() if value))
        return now

    commit_change(context, root.name, plan, io=True)
    for name in names:
        context.say(f"Created new vf: {name}")
    return {"functions": list(names)}


@operation("destroy-vf")
def destroy_vf(context: Context, arguments: Arguments) -> Any:
    """device: a virtual function, or a physical one with number(-n)."""
    name = arguments.text("device")
    count = _count(arguments) if "number" in arguments else 0
    function = io.find_function(context.configuration, name)
    if function is None and "number" not in arguments:
        refuse("io.not-found" if iobuses.find_device(context.configuration, name) is None else "usage.missing",
               name="number of virtual functions (-n)" if iobuses.find_device(context.configuration, name) else name)
    gone, _ = io.destroy_vfs(foreseen(context), name, count=count, every=count is None)
    _, root = io.find_pf(foreseen(context), function.pf if function else name)
    properties = {each.name: dict(each.properties) for each in context.configuration.virtual_functions}
    freed = [text for each in gone for key in ("alt-mac-addrs", "mac-addr")
             for text in properties[each].get(key, "").split(",")]  # fmt: skip

    def plan(now: Configuration) -> Configuration:
        _, after = io.destroy_vfs(now, name, count=count, every=count is None)
        return _free(after, freed)

    commit_change(context, root.name, plan, io=True)
    return {"functions": list(gone)}
