"""Examples of each command of `sun4v`: for ``sun4v COMMAND --help`` and the manual pages.

They are of a lab like that of docs/labs/tour.toml: servers alpha and beta, a domain ldg1 on alpha, images of the
source tree. A test parses each of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "run": (
        "sun4v run images/prebuilt/hello.elf",
        "sun4v run --vcpus 4 images/prebuilt/labos.elf",
        "echo 'one line' | sun4v run --deterministic --stats images/prebuilt/echo.elf",
        "sun4v run --trace=trace.txt --max-insns 1000 images/prebuilt/hello.elf",
        "sun4v run --vcpus 4 --memory 1G --initrd initramfs.cpio.gz --append console=ttyHV0 vmlinux",
        "sun4v run --firmware --memory 1G --disk disk.img",
    ),
    "platforms": ("sun4v platforms", "sun4v platforms t5-2", "sun4v platforms --json m7-8"),
    "md": ("sun4v md --platform m7-8 --vcpus 4", "sun4v md --binary md.bin", "sun4v md --vcpus 2 --diff md.bin"),
    "mkdisk": ("sun4v mkdisk data.qcow2 8G", "sun4v mkdisk --boot images/prebuilt/labos.elf labos.img 64M"),
    "disk": ("sun4v disk info labos.img", "sun4v disk overlay labos.img try.overlay", "sun4v disk commit try.overlay"),
    "disk info": ("sun4v disk info labos.img", "sun4v disk info --json try.overlay"),
    "disk overlay": (
        "sun4v disk overlay labos.img try2.overlay",
        "sun4v run --memory 512M --firmware --disk try2.overlay",
    ),
    "disk commit": ("sun4v disk commit try.overlay",),
    "disk rebase": ("sun4v disk rebase try.overlay moved.img",),
    "disk convert": ("sun4v disk convert labos.img labos.qcow2",),
    "power-on": (
        "sun4v power-on gamma --platform m7-16 --memory 512G",
        "sun4v power-on delta --metrics 9100 --net net0=lan",
    ),
    "power-off": ("sun4v power-off gamma", "sun4v power-off --all --force"),
    "kill": ("sun4v kill delta",),
    "machines": ("sun4v machines", "sun4v machines -l alpha", "sun4v machines --json"),
    "delete": ("sun4v delete gamma --yes",),
    "console": ("sun4v console alpha/ldg1", "echo uname -a | sun4v console ldg1 --no-replay"),
    "events": ("sun4v events alpha", "sun4v events alpha --follow --json"),
    "trace": ("sun4v trace --seconds 2 alpha alpha.json",),
    "gdb": (
        "sun4v gdb alpha/ldg1 --port 1234",
        "gdb-multiarch vmlinux -ex 'target remote | sun4v gdb alpha/ldg1 --stdio'",
    ),
    "plug": ("sun4v plug alpha net0=none", "sun4v plug --once alpha net0=lan"),
    "capture": (
        "sun4v capture alpha/ldg1 vnet0 ldg1.pcapng",
        "sun4v capture --off alpha/ldg1 vnet0",
        "tshark -r ldg1.pcapng",
    ),
    "power-policy": ("sun4v power-policy alpha", "sun4v power-policy alpha elastic"),
    "lab": ("sun4v lab up docs/labs/tour.toml", "sun4v lab list", "sun4v lab reset tour"),
    "lab up": ("sun4v lab up docs/labs/tour.toml",),
    "lab down": ("sun4v lab down tour", "sun4v lab down --force tour"),
    "lab reset": ("sun4v lab reset tour", "sun4v lab reset --all"),
    "lab list": ("sun4v lab list", "sun4v lab list --json"),
    "faults": ("sun4v faults list", "sun4v faults arm alpha plan.toml", "sun4v faults status alpha"),
    "faults list": ("sun4v faults list", "sun4v faults list --json"),
    "faults check": ("sun4v faults check plan.toml",),
    "faults arm": ("sun4v faults arm alpha plan.toml", "sun4v faults arm tour plan.toml"),
    "faults status": ("sun4v faults status alpha", "sun4v faults status --json tour"),
    "faults disarm": ("sun4v faults disarm alpha",),
    "passwd": ("sun4v passwd beta operator", "sun4v passwd beta operator --file secret", "sun4v passwd beta --list"),
    "report": ("sun4v report", "sun4v report ldg1", "sun4v report ldg1 --trace move.json"),
    "demo": ("sun4v demo", "sun4v demo --stay"),
    "completion": ("source <(sun4v completion bash)",),
}
"""Lines by command, and by command and verb."""


def example_lines(examples: tuple[str, ...]) -> str:
    """The last part of a help text."""
    title = "example:" if len(examples) == 1 else "examples:"
    return "\n".join([title, *(f"  {line}" for line in examples), ""])


def add_examples(parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Put them at the end of the help of these parsers, and of their verbs."""
    for name, parser in parsers.items():
        if examples := EXAMPLES.get(name):
            parser.epilog = "\n".join(filter(None, [parser.epilog, example_lines(examples)]))
            parser.formatter_class = argparse.RawDescriptionHelpFormatter
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                add_examples({f"{name} {verb}": each for verb, each in action.choices.items()})
