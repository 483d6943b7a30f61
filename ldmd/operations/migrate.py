"""migrate-domain and the migration part of cancel-operation (ldm(1M) 3.3; reference "Domain migration").

What is printed is the product's: nothing on success; on a failure why, and a last line that says so. Whoever moves the
domain is `ldmd.operations.migrations.Migrations`; it waits with `Context.wait`, so that others may look meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ldmd.messages import RefusedError, message, refuse
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.listing import known
from ldmd.operations.migrations import Migrations, MoveOptions, Outcome, Progress, Target
from ldmd.operations.moverecord import Recording
from ldmd.operations.reconf import CANCEL_MIGRATION
from ldmd.operations.registry import operation

HOST_LETTERS, USER_LETTERS = 253, 64
PASSWORD_LETTERS = 1024
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]+(%[A-Za-z0-9_.-]+)?")
PHASES = ("", "checking", "preparing", "copying", "suspended", "handing over")
"""By number of the product's phase, for the line of progress."""


def target_of(text: str, user: str) -> Target:
    """``[user@]target-host[:target-ldom]``. Raises RefusedError migration.target."""
    before, at, rest = text.rpartition("@")
    if at and not (before and len(before) <= USER_LETTERS and before.isprintable() and " " not in before):
        refuse("migration.target", target=text[:128], problem="no user stands before @")
    if rest.startswith("["):
        host, bracket, name = rest[1:].partition("]")
        good = bool(bracket) and bool(_ADDRESS.fullmatch(host)) and (not name or name.startswith(":"))
        colon, name = name[:1], name[1:]
    else:
        host, colon, name = rest.partition(":")
        good = bool(_HOST.fullmatch(host)) and ":" not in name
    if not good or len(host) > HOST_LETTERS:
        refuse("migration.target", target=text[:128], problem="that is no name or address of a host")
    if colon and not name:
        refuse("migration.target", target=text[:128], problem="no domain stands behind the colon")
    return Target(user=before or user, host=host, name=name or None)


def _options(arguments: Arguments, target: str) -> MoveOptions:
    certificates, password = arguments.flag("certificates"), arguments.optional("password")
    if certificates and "@" in target:
        refuse("migration.certificates-user", user=target.rpartition("@")[0])
    if certificates and password is not None:
        refuse("migration.certificates-password")
    if not certificates and not password:
        refuse("migration.password-missing")
    if password is not None and len(password) > PASSWORD_LETTERS:
        refuse("password.bad", why=f"it has more than {PASSWORD_LETTERS} letters")
    return MoveOptions(dry_run=arguments.flag("dry_run"), force=arguments.flag("force"), certificates=certificates,
                       password=password)


def _migrations(context: Context) -> Migrations:
    found = context.migrations
    if found is None:
        refuse("migration.none")
    return found


@operation("migrate-domain")
def migrate_domain(context: Context, arguments: Arguments) -> Any:
    """`migrate-domain [-f] [-n] [-p file | -c] domain [user@]target-host[:target-ldom]`."""
    name, text = arguments.text("domain"), arguments.text("target")
    target = target_of(text, context.user)
    options = _options(arguments, text)
    domain = known(context, name)
    if target.host == context.configuration.server.name:
        refuse("migration.itself", name=name, host=target.host)
    recording = Recording(context, domain, target, dry_run=options.dry_run)
    outcome = _moved(context, name, target, options, recording)
    recording.end(outcome)
    for line in outcome.told:
        context.warn(line)
    for problem in outcome.problems:
        context.warn("\n".join(_lines(problem)))
    if outcome.problems:
        refuse("migration.would-fail" if options.dry_run else "migration.failed", name=name)
    if not options.dry_run:
        context.emit("migrate-domain", domain=name, target=target.host)


def _moved(context: Context, name: str, target: Target, options: MoveOptions, recording: Recording) -> Outcome:
    """Carried out, or why not: the last line of a failure is the same whatever it was."""
    def on_progress(step: Progress) -> None:
        recording.step(step)
        context.progress(step.percent, progress_text(step), domain=name, **recording.plain(step))

    try:
        return _migrations(context).start(name, target, options=options, job=context, on_progress=on_progress)
    except RefusedError as refused:
        if refused.code == "job.cancelled":
            refused = message("migration.cancelled", name=name)
        return Outcome(problems=(refused,))
    except HypervisorError as error:
        return Outcome(problems=(message("machine.refused", op="", why=error.code, problem=error.text),))


def _lines(problem: RefusedError) -> Iterable[str]:
    yield problem.text
    for title, text in (("Cause", problem.cause), ("Remedy", problem.remedy)):
        if text:
            yield f"{title}: {text}"


def progress_text(step: Progress) -> str:
    """``copying, round 2: 48M left, 112M/s, 3.1M/s dirtied``."""
    text = PHASES[step.phase] if 0 < step.phase < len(PHASES) else "waiting"
    if step.phase < 3 or not step.total_bytes:
        return text
    parts = [f"{_amount(step.remaining_bytes)} left"]
    if step.wire_bytes_per_second is not None:
        parts.append(f"{_amount(step.wire_bytes_per_second)}/s")
    if step.dirty_pages_per_second is not None:
        parts.append(f"{_amount(step.dirty_pages_per_second * 8192)}/s dirtied")
    if step.predicted_downtime_ms is not None:
        parts.append(f"pause {step.predicted_downtime_ms:.0f} ms")
    if step.limited_by:
        parts.append(f"limited by {step.limited_by}")
    return f"{text}, round {step.round}: {', '.join(parts)}"


def _amount(number: float) -> str:
    """``48M``, ``3.1M``: two digits at least."""
    for suffix, shift in (("G", 30), ("M", 20), ("K", 10)):
        value = number / (1 << shift)
        if value >= 1:
            return f"{value:.1f}{suffix}" if value < 10 else f"{value:.0f}{suffix}"
    return f"{number:.0f}"


@operation(CANCEL_MIGRATION)
def cancel_migration(context: Context, arguments: Arguments) -> Any:
    """What `cancel-operation [-f] migration domain` comes to."""
    name = arguments.text("domain")
    if context.migrations is None:
        refuse("reconf.no-migration", name=name)
    for line in context.migrations.cancel(name, force=arguments.flag("force"), who=context.user):
        context.say(line)
