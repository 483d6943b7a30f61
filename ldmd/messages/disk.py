"""Messages about virtual disks and their backends."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("disk.volume-syntax", "{text!r} does not name a volume", "", "write volume@service, as vol1@primary-vds0"),
    Message("disk.volume-not-found", "Volume {volume} does not exist", "", "`ldm list-services` shows the volumes"),
    Message("disk.volume-exists", "Volume {volume} already exists", "", "choose another name for the volume"),
    Message("disk.volume-attached", "Volume {volume} is attached to a virtual disk of {users}", "",
            "remove that disk first, or use -f"),
    Message("disk.volume-used", "Volume {volume} is attached: virtual disk {disk} of LDom {domain} already uses it", "",
            "export the backend a second time as another volume (add-vdsdev -f)"),
    Message("disk.server-attached", "Virtual disk server {name} is in use: a volume is attached to a disk of {users}",
            "", "remove those disks first, or use -f"),
    Message("disk.option", "{option!r} is not an option of a volume", "", "use each of {options} at most once"),
    Message("disk.exported", "Backend {backend} is already exported as {other}", "",
            "use -f to export it a second time"),
    Message("disk.exclusive", "Backend {backend} is already exported as {other}",
            "with the option excl a backend is exported only once", "leave excl out of both"),
    Message("disk.mpgroup-twice", "Multipathing group {mpgroup} already has a path in {service}: {other}", "",
            "each path of a group is exported by another virtual disk server"),
    Message("disk.mpgroup-bound", "The multipathing group of {volume} cannot be changed: it is attached to {users}",
            "", "unbind that domain first"),
    Message("disk.not-a-path", "{volume} is not a path of virtual disk {disk} of LDom {domain}",
            "while the domain is active only the selected path of its multipathing group can be changed",
            "choose a volume of the same mpgroup, or stop the domain"),
    Message("disk.trouble", "Virtual disk {disk} of LDom {domain}: {problem}", "", ""),
    Message("disk.backend-qcow2", "Backend {backend} holds a qcow2 image, but its name does not end in .qcow2: it is "
            "exported as a raw disk", "", "rename it, and export it by its new name"),
    Message("disk.backend-relative", "Backend {backend} is not an absolute path", "", "write the path from /"),
    Message("disk.backend-missing", "Backend {backend} cannot be used: {problem}", "",
            "create it first (`sun4v mkdisk` makes an empty disk), or use -q to skip the check"),
    Message("disk.backend-kind", "Backend {backend} is {kind}", "a backend is a file or a block device",
            "choose another path"),
    Message("disk.backend-access", "Backend {backend} cannot be opened for {access}: {problem}", "",
            "change its permissions, export it with options=ro, or use -q to skip the check"),
    Message("disk.backend-empty", "Backend {backend} is too small for a disk: {size} bytes", "",
            "a disk has at least one block of 512 bytes; -q skips the check"),
)  # fmt: skip
