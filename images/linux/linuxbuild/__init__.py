"""Builds an unmodified Linux/sparc64 and a static user land from Debian's sources; `images/linux/build` is the command."""
