"""The consoles that vntsd serves: one for each bound guest domain (vntsd(1M)).

A concentrator is served by the domain that has it: while that does not run, nobody serves its consoles.
"""

from __future__ import annotations

from typing import Any

from ldmd.model import Configuration
from ldmd.planner.guestspec import is_serving


def consoles(configuration: Configuration) -> list[dict[str, Any]]:
    """{"domain", "guest": id, "group", "port", "service": vcc, "log": bool, "state"} of each, in the domains' order."""
    served = {vcc.name for owner, vcc in configuration.vccs() if owner.control or is_serving(owner)}
    return [
        {"domain": domain.name, "guest": domain.binding.id, "group": domain.binding.console_group,
         "port": domain.binding.console_port, "service": domain.binding.console_service, "log": domain.vcons.log,
         "state": str(domain.state)}
        for domain in configuration.guests
        if domain.binding is not None and domain.binding.console_port is not None
        and domain.binding.console_service in served]
