"""The power management policy of a machine, which is the service processor's (`sun4v power-policy`)."""

from __future__ import annotations

POWER_POLICIES = ("disabled", "performance", "elastic")
"""No management, cores that nobody uses asleep, or idle ones as well. It is kept, and without
effect: nothing here draws power (docs/COMPATIBILITY.md)."""
POWER_DEFAULT = "disabled"
