"""bind-domain and unbind-domain (ldm(1M) of 3.3)."""

from __future__ import annotations

from typing import Any

from ldmd.messages import message
from ldmd.model import Configuration
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.registry import operation
from ldmd.operations.targets import target
from ldmd.operations.xmldomains import bind_from_xml
from ldmd.planner import binding
from ldmd.planner.consoleplaces import consoles_in_use


@operation("bind-domain")
def bind_domain(context: Context, arguments: Arguments) -> Any:
    """`bind-domain [-f] [-q] domain`: everything the domain asks for is given to it, or nothing."""
    if "xml" in arguments:
        bind_from_xml(context, arguments.document("xml"))
        return
    name = arguments.text("domain")
    target(context, name)
    before, taken = context.configuration, context.ports_taken()
    after = binding.bind(before, name, ports_taken=taken)
    port = _port(after, name)
    context.commit(after)
    if port in taken and port not in {place.port for place in consoles_in_use(before)}:
        context.warn(str(message("console.port-elsewhere", name=name, port=port)))
    context.emit("bind-domain", domain=name)


def _port(configuration: Configuration, name: str) -> int | None:
    domain = configuration.find(name)
    return domain.binding.console_port if domain is not None and domain.binding is not None else None


@operation("unbind-domain")
def unbind_domain(context: Context, arguments: Arguments) -> Any:
    """`unbind-domain domain`."""
    name = arguments.text("domain")
    target(context, name)
    context.commit(binding.unbind(context.configuration, name))
    context.emit("unbind-domain", domain=name)
