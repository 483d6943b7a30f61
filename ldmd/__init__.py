"""ldmd: the Logical Domains Manager.

`Manager` on a machine (`ldmd.hvctl`, or one in this process) and a `Store`; `ldmd.daemon` is the process around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldmd.manager import Manager as Manager
    from ldmd.store import Store as Store

__all__ = ["Manager", "Store"]


def __getattr__(name: str) -> Any:
    """Import on demand: the `ldm` command needs neither the manager nor SQLite."""
    if name == "Manager":
        from ldmd.manager import Manager

        return Manager
    if name == "Store":
        from ldmd.store import Store

        return Store
    raise AttributeError(f"module 'ldmd' has no attribute {name!r}")
