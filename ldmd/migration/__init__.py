"""A domain moves from one server to another: what both managers decide, as pure functions.

Nothing here does I/O: `source` and `target` map (state, event) to (state, effects), and whoever drives them carries the
effects out, in order, and brings back what happened as events. protocol.md has the messages, docs/internals/handover.md
the rules and the proof.
"""
