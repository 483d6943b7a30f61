"""Saved configurations and small settings, as an operation sees them; both live in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmd.model import Configuration
from ldmd.planner.factory import FACTORY, factory_default

if TYPE_CHECKING:
    from ldmd.manager import Manager


class StoredSpConfigs:
    """Implements `ldmd.operations.context.SpConfigs`."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def names(self, *, autosave: bool = False) -> tuple[str, ...]:
        """Without "factory-default"."""
        return self._manager.store.spconfig_names(_kind(autosave))

    def load(self, name: str, *, autosave: bool = False) -> Configuration | None:
        """One of them, for the server as it is now."""
        server = self._manager.configuration.server
        if name == FACTORY and not autosave:
            return factory_default(server, rng=self._manager.rng, started_at=self._manager.clock.now())
        return self._manager.store.load_spconfig(name, _kind(autosave))

    def save(self, name: str, configuration: Configuration, *, autosave: bool = False) -> None:
        """Add or replace one."""
        self._manager.store.save_spconfig(name, _kind(autosave), configuration)

    def remove(self, name: str, *, autosave: bool = False) -> None:
        """Remove one."""
        self._manager.store.remove_spconfig(name, _kind(autosave))


def _kind(autosave: bool) -> str:
    return "autosave" if autosave else "saved"


class StoredSettings:
    """Implements `ldmd.operations.context.Settings`. "log" takes effect at once."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def get(self, name: str) -> Any:
        """A value, or None."""
        return self._manager.store.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keep a value."""
        self._manager.store.put(name, value)
        if name == "log":
            self._manager.log.levels |= value
