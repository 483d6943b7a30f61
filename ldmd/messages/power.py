"""Messages of start-, stop- and panic-domain."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("power.started", "LDom {name} started"),
    Message("power.stopped", "LDom {name} stopped"),
    Message("power.rebooted", "LDom {name} rebooted"),
    Message("power.panicked", "LDom {name} panicked"),
    Message("power.shutting-down", "LDom {name} is shutting down"),
    Message("start.not-bound", "LDom {name} is {state}", "only a bound domain is started", "{remedy}"),
    Message("start.firmware", "LDom {name} could not be started", "{problem}", "see the machine's log"),
    Message("stop.not-active", "LDom {name} is {state}", "only an active domain is stopped"),
    Message("stop.control", "LDom primary cannot be stopped", "it is the control domain: the manager runs in it",
            "`ldm stop-domain -r primary` reboots it; `sun4v power-off` switches the machine off"),
    Message("stop.options", "The options {options} exclude each other", "",
            "-f and -q go alone; -h and -r exclude each other"),
    Message("stop.needs", "{option} needs an orderly shutdown", "", "leave out -f and -q"),
    Message("stop.timed-out", "LDom {name} stop timed out. The domain might still be in the process of shutting down.\n"
            "Either let it continue, or specify -f to force it to stop.", "it did not end within {seconds} seconds"),
    Message("stop.refused", "LDom {name} refused to shut down", "{reason}",
            "see its console, or specify -f to force it to stop"),
    Message("stop.no-service", "Remote graceful shutdown or reboot capability is not available on {name}", "{why}",
            "specify -f to force it to stop"),
    Message("stop.forced", "LDom {name} did not shut down within {seconds} seconds and is stopped by force"),
    Message("stop.without-os", "Remote graceful shutdown or reboot capability is not available on {name}"),
    Message("stop.failed", "{count} of {all} domains were not {what}", "", "see the messages above"),
    Message("panic.not-active", "LDom {name} is {state}", "only an active domain can panic"),
    Message("panic.control", "LDom primary cannot be made to panic", "its operating system is the manager itself"),
    Message("panic.no-os", "LDom {name} cannot be made to panic", "{why}",
            "`ldm stop-domain -f {name}` stops it"),
    Message("panic.refused", "LDom {name} did not panic", "{reason}", "`ldm stop-domain -f {name}` stops it"),
)  # fmt: skip
