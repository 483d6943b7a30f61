"""vds, vdsdev and vdisk: add, set, remove (ldm(1M) of 3.3)."""

from __future__ import annotations

from ldmd.messages import refuse
from ldmd.model import Vdisk, Volume
from ldmd.operations.arguments import Arguments
from ldmd.operations.backends import check_backend
from ldmd.operations.context import Context
from ldmd.operations.guestdevices import change_devices, commit_change, remove_device
from ldmd.operations.registry import operation
from ldmd.operations.targets import foreseen
from ldmd.planner import disks
from ldmd.planner.devices import ID_LIMIT
from ldmd.planner.naming import find_domain, split_volume


@operation("add-vds")
def add_vds(context: Context, arguments: Arguments) -> None:
    """vds, domain."""
    name, domain = arguments.text("vds"), arguments.text("domain")
    commit_change(context, domain, lambda now: disks.add_vds(now, name, domain=domain))


@operation("remove-vds")
def remove_vds(context: Context, arguments: Arguments) -> None:
    """vds, force."""
    name, force = arguments.text("vds"), arguments.flag("force")
    owner, _ = disks.find_server(foreseen(context), name)
    commit_change(context, owner.name, lambda now: disks.remove_vds(now, name, force=force), removes=True)


@operation("add-vdsdev")
def add_vdsdev(context: Context, arguments: Arguments) -> None:
    """backend, volume ("vol@vds"), force, quick, options, mpgroup."""
    backend, text = arguments.text("backend"), arguments.text("volume")
    name, service = split_volume(text)
    volume = Volume(name=name, backend=backend, options=disks.parse_options(arguments.optional("options") or ""),
                    mpgroup=arguments.optional("mpgroup") or "")  # fmt: skip
    if not backend.startswith("/"):
        refuse("disk.backend-relative", backend=backend)
    owner, _ = disks.find_server(foreseen(context), service)
    force = arguments.flag("force")
    if not arguments.flag("quick"):
        check_backend(context, backend, volume.options)
    commit_change(context, owner.name, lambda now: disks.add_vdsdev(now, volume, service=service, force=force))


@operation("set-vdsdev")
def set_vdsdev(context: Context, arguments: Arguments) -> None:
    """volume, force, options, mpgroup."""
    text, force = arguments.text("volume"), arguments.flag("force")
    given = arguments.optional("options")
    options, mpgroup = None if given is None else disks.parse_options(given), arguments.optional("mpgroup")
    if (options, mpgroup) == (None, None):
        refuse("property.needed", choices="options=, mpgroup=")
    owner, _, _ = disks.find_volume(foreseen(context), text)
    commit_change(context, owner.name,
                  lambda now: disks.set_vdsdev(now, text, options=options, mpgroup=mpgroup, force=force))  # fmt: skip


@operation("remove-vdsdev")
def remove_vdsdev(context: Context, arguments: Arguments) -> None:
    """volume, force."""
    text, force = arguments.text("volume"), arguments.flag("force")
    owner, _, _ = disks.find_volume(foreseen(context), text)
    commit_change(context, owner.name, lambda now: disks.remove_vdsdev(now, text, force=force), removes=True)


@operation("add-vdisk")
def add_vdisk(context: Context, arguments: Arguments) -> None:
    """disk, volume, domain, timeout, id."""
    domain = arguments.text("domain")
    volume, service = split_volume(arguments.text("volume"))
    disk = Vdisk(name=arguments.text("disk"), volume=volume, service=service,
                 timeout=arguments.optional_number("timeout", most=disks.TIMEOUT_LIMIT) or 0,
                 id=arguments.optional_number("id", most=ID_LIMIT))  # fmt: skip
    change_devices(context, domain, lambda now: disks.add_vdisk(now, disk, domain=domain),
                   kind=disks.KIND, device=disk.name)  # fmt: skip


@operation("set-vdisk")
def set_vdisk(context: Context, arguments: Arguments) -> None:
    """disk, domain, timeout, volume. ``timeout=`` sets the default, 0."""
    name, domain, volume = arguments.text("disk"), arguments.text("domain"), arguments.optional("volume")
    timeout = arguments.optional_number("timeout", most=disks.TIMEOUT_LIMIT)
    if timeout is None and "timeout" in arguments:
        timeout = 0
    if timeout is None and not volume:
        refuse("property.needed", choices="timeout=, volume=")
    find_domain(context.configuration, domain)
    commit_change(context, domain,
                  lambda now: disks.set_vdisk(now, name, domain=domain, timeout=timeout, volume=volume))  # fmt: skip


@operation("remove-vdisk")
def remove_vdisk(context: Context, arguments: Arguments) -> None:
    """disk, domain, force."""
    name, domain, force = arguments.text("disk"), arguments.text("domain"), arguments.flag("force")
    remove_device(context, domain, disks.KIND, name=name, force=force,
                  plan=lambda now: disks.remove_vdisk(now, name, domain=domain))  # fmt: skip
