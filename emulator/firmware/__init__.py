"""OpenBoot as the emulator's own code: device tree, client interface, variables, the ``ok`` prompt."""
