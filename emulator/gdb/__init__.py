"""`sun4v gdb`: the remote serial protocol of GDB for a guest that runs (docs/internals/debugging.md).

The process of `sun4v gdb` speaks the protocol; the machine's process stops strands, and gives registers and memory
(`guest.debug.*` of hvctl). A session knows what it debugs as a `Debuggee` only.
"""
