"""bind-domain and unbind-domain (ldm(1M) of 3.3)."""

from __future__ import annotations

from typing import Any

from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.registry import operation
from ldmd.operations.targets import target
from ldmd.operations.xmldomains import bind_from_xml
from ldmd.planner import binding


@operation("bind-domain")
def bind_domain(context: Context, arguments: Arguments) -> Any:
    """`bind-domain [-f] [-q] domain`: everything the domain asks for is given to it, or nothing."""
    if "xml" in arguments:
        bind_from_xml(context, arguments.document("xml"))
        return
    name = arguments.text("domain")
    target(context, name)
    context.commit(binding.bind(context.configuration, name))
    context.emit("bind-domain", domain=name)


@operation("unbind-domain")
def unbind_domain(context: Context, arguments: Arguments) -> Any:
    """`unbind-domain domain`."""
    name = arguments.text("domain")
    target(context, name)
    context.commit(binding.unbind(context.configuration, name))
    context.emit("unbind-domain", domain=name)
