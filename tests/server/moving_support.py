"""Moving a guest from one server to another with the operations of hvctl, memory copied over its descriptors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

PAGE_BYTES, REGION_BYTES = 8192, 2 << 20
CHUNK = 1 << 20


class Peer(Protocol):
    """A client of a machine: `LocalHvctl`, or the manager's `Link`."""

    def call(self, op: str, /, **arguments: Any) -> Any:
        """One request."""

    def call_fds(self, op: str, /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request, with descriptors."""


class Memory:
    """A guest's memory by its descriptors, as another process sees it."""

    def __init__(self, client: Peer, guest: int) -> None:
        self.client, self.guest = client, guest
        answer, self.fds = client.call_fds("memory.descriptors", guest=guest)
        self.blocks: list[Mapping[str, int]] = answer["blocks"]

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)

    def place(self, ra: int) -> tuple[int, int]:
        """Descriptor and offset of a real address."""
        for block in self.blocks:
            if block["ra"] <= ra < block["ra"] + block["size"]:
                return self.fds[block["memory"]], block["memory_offset"] + ra - block["ra"]
        raise AssertionError(f"no memory at {ra:#x}")

    def populated(self) -> list[tuple[int, int]]:
        """Real addresses and lengths of what may hold more than zeros."""
        found = []
        for block in self.blocks:
            fd, at, end = self.fds[block["memory"]], block["memory_offset"], block["memory_offset"] + block["size"]
            while at < end:
                try:
                    data = os.lseek(fd, at, os.SEEK_DATA)
                except OSError:
                    break
                hole = min(os.lseek(fd, data, os.SEEK_HOLE), end)
                if data >= end:
                    break
                found.append((block["ra"] + data - block["memory_offset"], hole - data))
                at = hole
        return found

    def dirty(self) -> list[int]:
        """Real addresses of marked pages; their marks are cleared. The barrier is the caller's."""
        found = []
        for block in self.blocks:
            fd, pages = self.fds[block["map"]], block["size"] // PAGE_BYTES
            first = block["memory_offset"] // REGION_BYTES
            last = (block["memory_offset"] + block["size"] - 1) // REGION_BYTES
            at = block["region_map_offset"] + first
            regions = os.pread(fd, last - first + 1, at)
            for number, region in enumerate(regions):
                if region:
                    os.pwrite(fd, b"\0", at + number)
            if not any(regions):
                continue
            marks = os.pread(fd, pages, block["page_map_offset"])
            for page, mark in enumerate(marks):
                if mark:
                    os.pwrite(fd, b"\0", block["page_map_offset"] + page)
                    found.append(block["ra"] + page * PAGE_BYTES)
        return found

    def copy(self, to: Memory, ra: int, length: int) -> None:
        while length:
            fd, at = self.place(ra)
            other, there = to.place(ra)
            data = os.pread(fd, min(length, CHUNK), at)
            os.pwrite(other, data, there)
            ra, length = ra + len(data), length - len(data)


def copy_memory(source: Memory, target: Memory) -> None:
    """All of it, of a guest that stands still."""
    for ra, length in source.populated():
        source.copy(target, ra, length)


def copy_live(source: Memory, target: Memory, *, rounds: int) -> int:
    """Rounds of a guest that runs; returns the pages that were sent again. `copy_last` is to follow."""
    again = 0
    source.dirty()
    source.client.call("memory.barrier", guest=source.guest)
    copy_memory(source, target)
    for _ in range(rounds):
        again += copy_dirty(source, target)
    return again


def copy_dirty(source: Memory, target: Memory) -> int:
    """What was written since; of a guest that runs or stands still."""
    pages = source.dirty()
    source.client.call("memory.barrier", guest=source.guest)
    for ra in pages:
        source.copy(target, ra, PAGE_BYTES)
    return len(pages)


def carry_state(source: Peer, target: Peer, guest: int) -> bytes:
    """The state of a suspended guest to where it is received; the image."""
    saved, (fd,) = source.call_fds("guest.save_state", guest=guest)
    try:
        image = os.pread(fd, saved["bytes"], 0)
    finally:
        os.close(fd)
    put_state(target, guest, image)
    target.call("guest.load_state", guest=guest, sha256=saved["sha256"])
    return image


def put_state(target: Peer, guest: int, image: bytes) -> None:
    """Write an image to the target's buffer."""
    _, (fd,) = target.call_fds("guest.state_buffer", guest=guest, bytes=len(image))
    try:
        assert os.pwrite(fd, image, 0) == len(image)
    finally:
        os.close(fd)


def move(source: Peer, target: Peer, spec: Mapping[str, Any], *, rounds: int | None = None) -> None:
    """A whole move of a guest that runs, or has suspended itself; with `rounds`, memory goes first while it runs."""
    guest = spec["id"]
    target.call("guest.receive", spec=spec)
    here, there = Memory(source, guest), Memory(target, guest)
    try:
        if rounds is not None:
            copy_live(here, there, rounds=rounds)
        if source.call("guest.status", guest=guest)["state"] != "suspended":
            source.call("guest.suspend", guest=guest)
        if rounds is None:
            copy_memory(here, there)
        else:
            copy_dirty(here, there)
        carry_state(source, target, guest)
    finally:
        here.close()
        there.close()
    source.call("guest.release_disks", guest=guest)
    target.call("guest.resume", guest=guest)
    source.call("guest.stop", guest=guest, taken=True)
    source.call("guest.destroy", guest=guest)
