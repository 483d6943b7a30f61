"""Which strands a domain is given, and which it gives back.

Whole cores lie on core boundaries. Single strands come, in this order: from cores that only this domain uses; from free
cores, near the domain's others; and only when no core is free, from cores that other domains use as well. So domains
share a core only where there is no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ldmd.planner.hardware import Hardware


@dataclass(frozen=True)
class Strands:
    """Who has which strand, seen from one domain. `mine`: those it keeps while it is given more."""

    server: Hardware
    owners: Mapping[int, str]
    name: str
    mine: frozenset[int]

    @classmethod
    def of(cls, server: Hardware, owners: Mapping[int, str], name: str) -> Strands:
        """With all that the domain has now."""
        return cls(server, owners, name, frozenset(strand for strand, owner in owners.items() if owner == name))

    def free_in(self, core: int) -> list[int]:
        """The free strands of a core."""
        return [strand for strand in self.server.strands_of(core) if strand not in self.owners]

    def is_free(self, core: int) -> bool:
        """True where nobody has a strand of a core."""
        return len(self.free_in(core)) == self.server.strands_per_core

    def is_own(self, core: int) -> bool:
        """True where the domain has strands of a core, and nobody else has."""
        return all(self.owners.get(strand) in (None, self.name) for strand in self.server.strands_of(core)) and \
            any(strand in self.mine for strand in self.server.strands_of(core))

    @property
    def my_cores(self) -> frozenset[int]:
        """The cores that the domain has strands of."""
        return frozenset(self.server.core_of(strand) for strand in self.mine)

    @property
    def free_cores(self) -> tuple[int, ...]:
        """Cores that nobody has a strand of."""
        return tuple(core for core in self.server.cores if self.is_free(core))

    @property
    def free_strands(self) -> int:
        """How many strands nobody has."""
        return len(self.server.strands) - len(self.owners)

    # -- more

    def more_cores(self, count: int, *, nodes: Collection[int] = ()) -> tuple[int, ...] | None:
        """So many free cores, the nearest first; None where there are not so many. `nodes`: preferred memory nodes."""
        free = self.free_cores
        if len(free) < count:
            return None
        return tuple(self._near(free, count, nodes)[:count])

    def more_strands(self, count: int, *, nodes: Collection[int] = (),
                     max_cores: int | None = None) -> tuple[int, ...] | None:
        """So many free strands, ascending; None where there are not so many (on at most `max_cores` cores in all)."""
        per_core = self.server.strands_per_core
        mine = self.my_cores
        own = sorted(core for core in mine if self.is_own(core))
        room = sum(len(self.free_in(core)) for core in own)
        fresh = self._near(self.free_cores, -(-max(0, count - room) // per_core), nodes)
        shared = sorted((core for core in self.server.cores
                         if core not in own and not self.is_free(core) and self.free_in(core)),
                        key=lambda core: (core not in mine, -len(self.free_in(core)), core))
        chosen: list[int] = []
        cores = set(mine)
        for core in (*own, *fresh, *shared):
            if len(chosen) == count:
                break
            if core not in cores and max_cores is not None and len(cores) >= max_cores:
                continue
            cores.add(core)
            chosen += self.free_in(core)[: count - len(chosen)]
        return tuple(sorted(chosen)) if len(chosen) == count else None

    def _near(self, cores: Iterable[int], count: int, nodes: Collection[int]) -> list[int]:
        """Cores in the order to take them: sockets where the domain is, then preferred ones, those that suffice first.

        Among sockets that have `count` cores the fullest is taken, else that with the most free ones.
        """
        by_socket: dict[int, list[int]] = {}
        for core in cores:
            by_socket.setdefault(self.server.socket_of(core), []).append(core)
        mine: dict[int, int] = {}
        for core in self.my_cores:
            socket = self.server.socket_of(core)
            mine[socket] = mine.get(socket, 0) + 1
        rank = {node: place for place, node in enumerate(nodes)}

        def order(socket: int) -> tuple[int, int, int, int, int]:
            room = len(by_socket[socket])
            enough = room >= count
            node = self.server.platform.node_of_socket(socket)
            return -mine.get(socket, 0), not enough, rank.get(node, len(rank)), room if enough else -room, socket

        return [core for socket in sorted(by_socket, key=order) for core in by_socket[socket]]

    # -- fewer

    def fewer_strands(self, count: int, vcpus: Iterable[tuple[int, int]],
                      crypto: Collection[int] = ()) -> tuple[int, ...] | None:
        """The virtual CPUs to give back, highest first, so that cores with a bound crypto unit keep a strand.

        None where that is not possible. `vcpus`: (virtual CPU, strand) of the domain. One always stays.
        """
        left = dict(vcpus)
        if count >= len(left):
            return None
        gone: list[int] = []
        for vid in sorted(left, reverse=True):
            core = self.server.core_of(left[vid])
            last = sum(1 for strand in left.values() if self.server.core_of(strand) == core) == 1
            if len(gone) < count and not (last and core in crypto):
                gone.append(vid)
                del left[vid]
        return tuple(gone) if len(gone) == count else None

    def fewer_cores(self, count: int, crypto: Collection[int] = ()) -> tuple[int, ...]:
        """Whole cores to give back: from the sockets with fewest of the domain's, without crypto units first."""
        mine = sorted(self.my_cores)
        per_socket: dict[int, int] = {}
        for core in mine:
            socket = self.server.socket_of(core)
            per_socket[socket] = per_socket.get(socket, 0) + 1
        first = min(mine, default=0)  # the core of virtual CPU 0, as a rule: last to go
        order = sorted(mine, key=lambda core: (core == first, core in crypto,
                                               per_socket[self.server.socket_of(core)], -core))
        return tuple(order[:count])


def with_vcpus(vcpus: tuple[tuple[int, int], ...], strands: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Virtual CPUs with more strands: each gets the lowest free number."""
    have = dict(vcpus)
    number = 0
    for strand in sorted(strands):
        while number in have:
            number += 1
        have[number] = strand
    return tuple(sorted(have.items()))
