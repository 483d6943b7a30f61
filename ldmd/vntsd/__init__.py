"""vntsd, the virtual network terminal server: telnet to the consoles of domains.

A group of consoles has one TCP port. Its client chooses a console from a menu (or gets the only one), the first client
of a console may write, the others watch. What is sent, to the byte, follows vntsd of Solaris (its manual page and the
illumos sources of the same name).
"""

from ldmd.vntsd.service import ConsoleEntry, Settings, Vntsd

__all__ = ["ConsoleEntry", "Settings", "Vntsd"]
