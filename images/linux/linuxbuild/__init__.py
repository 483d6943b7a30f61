"""Builds an unmodified Linux/sparc64 and a user land from Debian's sources; `images/linux/build` is the command."""
