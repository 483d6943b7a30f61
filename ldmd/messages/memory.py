"""Messages about memory. Those on alignment are the product's."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("memory.short", "Not enough free memory present to meet this request.", "{cause}", "{remedy}"),
    Message("memory.real-addresses", "The real addresses of LDom {name} do not suffice for its memory"),
    Message("memory.size", "{value} is not a size of memory", "{why}", "write a number with K, M or G, or bytes"),
    Message("memory.zero", "The amount of memory must be more than nothing", "", "write a size such as 4G"),
    Message("memory.zero-bound", "A domain that is {state} needs memory", "LDom {name} has {have}",
            "unbind the domain first, or leave it some"),
    Message("memory.too-much", "This server has {limit} of memory for domains, not {asked}", "", "ask for less"),
    Message("memory.remove-many", "LDom {name} has {have} of memory, {asked} cannot be removed", "", "remove less"),
    Message("memory.multiple", "The size of memory must be a multiple of 256MB.",
            "memory of a domain that runs is changed in steps of 256 MB", "use --auto-adj, or a multiple of 256M"),
    Message("memory.set-multiple", "A ldm set-mem {asked} command would {verb} {delta}, which is not a\n"
            "multiple of 256MB. Instead, run ldm set-mem {better} {name}\nto ensure a 256MB alignment."),
    Message("memory.adjusting", "Adjusting request size to {size}."),
    Message("memory.removable", "Only {free} of the memory of LDom {name} can be removed while it runs",
            "the rest is not in whole aligned pieces of 256 MB", "ask for less, or stop and unbind the domain"),
    Message("memory.mblock-syntax", "{value} is not a list of memory blocks", "{why}",
            "write mblock=START:SIZE[,START:SIZE]..., such as mblock=0x80000000:2G"),
    Message("memory.named", "LDom {name} has named memory blocks (physical-bindings=memory)",
            "memory with and without names cannot be mixed",
            "use mblock=, or clear the names with `ldm set-memory mblock= {name}`"),
    Message("memory.not-named", "LDom {name} has memory without names", "memory with and without names cannot be mixed",
            "name all of it with `ldm set-memory mblock=... {name}`"),
    Message("memory.not-have", "LDom {name} does not have the memory block {block}", "", "it has: {blocks}"),
    Message("memory.overlap", "The memory blocks {one} and {other} overlap"),
    Message("memory.no-block", "The memory block {block} is not memory of this server", "there is no memory at {missing}",
            "`ldm list-devices -a memory` shows what there is"),
    Message("memory.firmware", "The memory block {block} is not free for domains", "firmware keeps {kept}",
            "`ldm list-devices -a memory` shows who has what"),
    Message("memory.running", "Memory blocks of LDom {name} cannot be exchanged while it runs",
            "it would have to give up {block} and get others", "use add-memory and remove-memory, or stop it first"),
    Message("memory.dr-refused", "LDom {name} did not give up any memory", "{reasons}",
            "ask for less, or stop and unbind the domain"),
    Message("memory.dr-some", "Only {done} of {asked} were removed from LDom {name}", "{reasons}",
            "ask for the rest later, or stop and unbind the domain"),
    Message("memory.dr-cancelled", "The memory operation of LDom {name} was cancelled after {done} of {asked}"),
    Message("memory.dr-added", "LDom {name} took only {done} of {asked}; the rest was taken back", "{reasons}",
            "see the console of the domain"),
    Message("memory.no-operation", "No memory operation of LDom {name} is under way", "", "`ldm list` shows flag r"),
)  # fmt: skip
