"""Machines and managers in one process and one virtual time: what the fixtures of `emulator.pytest_plugin` are.

    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = alpha.make_domain(DomainSetup(image=Path("labos.elf")))
        domain.console.expect("# ")

docs/howto/testing.md shows how they are used.
"""
