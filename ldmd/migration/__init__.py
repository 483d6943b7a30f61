"""A domain moves from one server to another: what both managers decide, as pure functions."""
