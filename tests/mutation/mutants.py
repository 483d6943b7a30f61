"""Changes that must not go unnoticed: what a careless hand could take out, and the tests that must fail then.

Each row says which lines go, what stands there instead, and which tests are to notice. `make mutate` applies all of
them, one by one, to a copy of the tree; the suite applies those marked `sample`. A row whose lines are not in the file
any more is an error: then it is to be written anew, not taken out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` occurs exactly once in `file`; `tests` are what pytest is given, of which at least one must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    sample: bool = False


MUTANTS = (
    Mutant(
        "dirty mark of a store", "csrc/strand/memory.c",
        "  ram_mark(ref->page, ref->region);\n", "",
        ("tests/unit/test_machine_memory.py", "tests/unit/test_memory_c.py"), sample=True,
    ),
    Mutant(
        "dirty mark of a device's buffer", "csrc/mem/ram_io.c",
        "    mblock_mark(pin.block, pin.first, pin.end); /* after", "    /* after",
        ("tests/unit/test_memory_c.py", "tests/unit/test_barrier.py", "tests/unit/test_vdisk_c.py"),
    ),
    Mutant(
        "dirty mark after a device has written", "csrc/mem/ram_io.c",
        "  ram_written(ram, ra, bytes); /* before", "  /* before",
        ("tests/unit/test_memory_c.py", "tests/unit/test_vdisk_c.py"),
    ),
    Mutant(
        "barrier waits for the strands", "csrc/machine/barrier.c",
        "    if (s && !strand_rests(s) && __atomic_load_n(&s->writes_given, __ATOMIC_ACQUIRE) < epoch) return false;\n",
        "    (void)s, (void)epoch;\n",
        ("tests/unit/test_barrier.py", "tests/stream/test_stream_writers.py"),
    ),
    Mutant(
        "code that is written over", "csrc/strand/memory.c",
        "if (codestore_written(s->env->store, ref->pa, bytes)) strand_notice(s);", "(void)bytes;",
        ("tests/unit/test_engine_code_changes.py",),
    ),
    Mutant(
        "calls that run alone", "csrc/hyp/hcall.def",
        "HCALL(0x80, 0xee, 0x101, 1, ALONE, LDC_UNMAP,", "HCALL(0x80, 0xee, 0x101, 1, SHARED, LDC_UNMAP,",
        ("tests/hcall/test_hcall_alone.py",),
    ),
    Mutant(
        "flush reaches the disk", "csrc/vio/pool.c",
        "  while (fdatasync(fd) != 0)\n    if (errno != EINTR) return errno;\n", "  (void)fd;\n",
        ("tests/unit/test_vdisk_c.py",),
    ),
    Mutant(
        "bounds of exported memory", "csrc/hyp/ldc_map.c",
        "  if (cookie >= e->export_bytes) return HV_ENOMAP;\n", "",
        ("tests/hcall/test_hcall_ldc.py", "tests/hcall/test_hcall_hostile.py", "tests/devices/test_hostile_bounds.py"),
    ),
    Mutant(
        "rights of a map table entry", "csrc/hyp/ldc_map.c",
        "  if (!(entry & right)) return HV_ENOACCESS;\n", "  (void)right;\n",
        ("tests/hcall/test_hcall_ldc.py", "tests/hcall/test_hcall_mapin.py"),
    ),
    Mutant(
        "overlay: data before its map", "csrc/vio/overlay.c",
        "  int error = io_settle(i->fd);\n", "  int error = 0;\n",
        ("tests/unit/test_overlay_c.py",),
    ),
    Mutant(
        "VLANs are apart", "emulator/devices/switch.py",
        "        if not port.carries(vlan):", "        if False:",
        ("tests/devices/test_switch.py", "tests/devices/test_switch_rules.py"),
    ),
    Mutant(
        "stable store", "ldmd/store.py",
        "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF",
        ("tests/manager/test_manager_syncs.py",),
    ),
    Mutant(
        "stable lease", "ldmd/migrator/lease.py",
        "            file.flush()\n            os.fsync(file.fileno())\n", "",
        ("tests/manager/test_manager_syncs.py",),
    ),
    Mutant(
        "guide rule G10", "ldmd/migration/checks/cpus.py",
        "    if cores is not None and cores > target.free_cores:",
        "    if cores is not None and cores > target.free_cores + 1:",
        ("tests/migration/test_rules_cpus.py",), sample=True,
    ),
    Mutant(
        "guide rule G12", "ldmd/migration/checks/cpus.py",
        'guest.domain.cpu_arch == "native" and guest.server.chip != target.server.chip', "False",
        ("tests/migration/test_rules_cpus.py",),
    ),
    Mutant(
        "digest of a round", "emulator/stream/receiver.py",
        "            if self.image.digest() != digest:", "            if False:",
        ("tests/stream",),
    ),
    Mutant(
        "digest of the state", "emulator/stream/receiver.py",
        "if state.fd is not None and state_digest(state.fd, state.body.state_bytes) != state.body.sha256:", "if False:",
        ("tests/stream",),
    ),
    Mutant(
        "damage is not put right for ever", "emulator/stream/incoming.py",
        "        if state.damaged == chunk.sequence:\n", "        if False:\n",
        ("tests/stream/test_stream_links.py",),
    ),
    Mutant(
        "the result comes on channel 0", "emulator/stream/incoming.py",
        "if self._channel == 0 and self._receiver.complete():", "if self._receiver.complete():",
        ("tests/stream/test_stream_flow.py",),
    ),
    Mutant(
        "a refusal is read", "emulator/stream/incoming.py",
        "            while not self._dead and (left := until - time.monotonic()) > 0:",
        "            while (left := 0.0) > until:",
        ("tests/stream/test_stream_links.py",) * 3,
    ),
    Mutant(
        "guessing is slowed", "ldmd/migrator/door.py",
        "            if self._guesses.blocked(address):\n                return False\n", "",
        ("tests/migrator/test_migrator_security.py",),
    ),
    Mutant(
        "certificates are trusted by name", "ldmd/migrator/door.py",
        "            return mark in trusted(means.directory).values()", "            return True",
        ("tests/migrator/test_migrator_security.py",),
    ),
    Mutant(
        "a job ends with its client", "ldmd/rpc/server.py",
        "                    self._server.manager.cancel(job)\n                return\n", "                return\n",
        ("tests/manager/test_manager_rpc.py",),
    ),
    Mutant(
        "a peer's name for its domain", "ldmd/migration/facts.py",
        '("its name", not name_problem(domain.name)),', '("its name", True),',
        ("tests/migration/test_rules_state.py",),
    ),
    Mutant(
        "a guest may write to suspend itself", "emulator/stream/control.py",
        "        self.limit = 2 * self.limit if self.limit < LOOSE_LIMIT else None\n", "",
        ("tests/stream/test_stream_worker.py",),
    ),
    Mutant(
        "end of a host's exported memory", "csrc/hyp/ldc_map.c",
        "  if (*length > e->export_bytes - cookie) *length = e->export_bytes - cookie;\n", "",
        ("tests/hcall/test_hcall_ldc.py",),
    ),
    Mutant(
        "a stop waits for no page", "emulator/server/guest.py",
        "        if ending:\n            self._abandon_missing()\n", "",
        ("tests/server/test_proof_missing_stop.py",),
    ),
    Mutant(
        "images of another configuration", "csrc/machine/state.c",
        "  if (memcmp(&config, &ours, sizeof config))\n", "  if (false && ours.strands)\n",
        ("tests/unit/test_machine_strands.py",),
    ),
    Mutant(
        "when a machine began is no configuration", "csrc/machine/state.c",
        "  c->tod_seconds = 0;\n", "",
        ("tests/unit/test_machine_strands.py",),
    ),
    Mutant(
        "entries of pages that are missing", "csrc/strand/state.c", "    *tag |= TAG_WATCHED;\n", "",
        ("tests/hcall/test_hcall_missing.py",),
    ),
)  # fmt: skip
