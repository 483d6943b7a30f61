"""migrate-domain and the migration part of cancel-operation (ldm(1M) 3.3; reference "Domain migration").

What is printed is the product's: nothing on success; on a failure why, and a last line that says so. Whoever moves the
domain is `ldmd.operations.migrations.Migrations`; it waits with `Context.wait`, so that others may look meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from emulator.units import format_amount, format_duration
from ldmd.messages import RefusedError, message, refuse
from ldmd.migration.phases import Phase
from ldmd.migrator.moves import MoveOptions, MoveOutcome, MoveView, Target
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context, HypervisorError
from ldmd.operations.listing import known
from ldmd.operations.migrations import Migrations
from ldmd.operations.moverecord import Recording
from ldmd.operations.reconf import CANCEL_MIGRATION
from ldmd.operations.registry import operation
from ldmd.planner.domains import check_name

HOST_LETTERS, USER_LETTERS = 253, 64
PASSWORD_LETTERS = 1024
PHASES = tuple(Phase)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]+(%[A-Za-z0-9_.-]+)?")


def target_of(text: str, user: str) -> Target:
    """``[user@]target-host[:target-ldom]``. Raises RefusedError migration.target, domain.name."""
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
    if colon:
        check_name(name)
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
        refuse("migration.no-peers")
    return found


@operation("migrate-domain", tied=True)
def migrate_domain(context: Context, arguments: Arguments) -> Any:
    """`migrate-domain [-f] [-n] [-p file | -c] domain [user@]target-host[:target-ldom]`."""
    name, text = arguments.text("domain"), arguments.text("target")
    target = target_of(text, context.user)
    options = _options(arguments, text)
    domain = known(context, name)
    if target.name is not None and target.name.isdecimal() and target.name != name:
        refuse("migration.target-number", number=target.name, host=target.host)
    recording = Recording(context, domain, target, dry_run=options.dry_run)
    outcome = _moved(context, name, target, options, recording)
    recording.end(outcome)
    for line in (*outcome.told, *outcome.problems):
        if line:
            context.warn(line)
    if not outcome.done:
        failed = message("migration.would-fail" if options.dry_run else "migration.failed", name=name)
        failed.reasons = outcome.reasons
        raise failed
    if not options.dry_run:
        context.emit("migrate-domain", domain=name, target=target.host)


def _moved(context: Context, name: str, target: Target, options: MoveOptions, recording: Recording) -> MoveOutcome:
    """Carried out, or why not: the last line of a failure is the same whatever it was."""
    try:
        if target.host == context.configuration.server.name:
            refuse("migration.itself", name=name, host=target.host)
        migrations = _migrations(context)
        watching = Watching(context, lambda: _view(migrations, name), recording)
        return migrations.start(name, target, options, job=watching)
    except RefusedError as refused:
        why = message("migration.cancelled", name=name) if refused.code == "job.cancelled" else refused
    except HypervisorError as error:
        why = message("machine.refused", op="", why=error.code, problem=error.text)
    return MoveOutcome(done=False, problems=_lines(why), reasons=(_reason(why),))


def _view(migrations: Migrations, name: str) -> MoveView | None:
    return next((each for each in migrations.view() if each.domain == name), None)


def _lines(problem: RefusedError) -> tuple[str, ...]:
    more = (f"{title}: {text}" for title, text in (("Cause", problem.cause), ("Remedy", problem.remedy)) if text)
    return (problem.text, *more)


def _reason(problem: RefusedError) -> str:
    """Its first line, and the cause: "Failed to establish connection ... on target: beta (Connection refused)"."""
    first = problem.text.splitlines()[0]
    return f"{first} ({problem.cause})" if problem.cause else first


class Watching:
    """The job as the migration sees it: its progress is recorded, and shown with all that is known of the copying."""

    def __init__(self, context: Context, view: Callable[[], MoveView | None], recording: Recording) -> None:
        self._context, self._view, self._recording = context, view, recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def say(self, text: str) -> None:
        """A line for standard output."""
        self._context.say(text)

    def warn(self, text: str) -> None:
        """A line for standard error."""
        self._context.warn(text)

    def wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Let others go on."""
        return self._context.wait(condition, seconds=seconds)

    def progress(self, percent: int, text: str) -> None:
        """How far it is."""
        view = self._view()
        if view is None:
            self._context.progress(percent, text)
            return
        row = self._recording.step(view, percent)
        details = {key: value for key, value in row.items() if key != "percent"}
        self._context.progress(percent, progress_text(row), domain=view.domain, **details)


def progress_text(row: dict[str, Any]) -> str:
    """``copying, round 2: 48M left, 112M/s, 3.1M/s dirtied``, from a step of the record."""
    phase = int(row["phase"])
    text = Phase(phase).word if phase in PHASES else "waiting"
    if phase not in (Phase.COPY, Phase.SUSPEND) or not row.get("total_bytes"):
        return text
    parts = [f"{format_amount(row['remaining'])} left"]
    if row.get("wire_rate"):
        parts.append(f"{format_amount(row['wire_rate'])}/s")
    if row.get("dirty_rate"):
        parts.append(f"{format_amount(row['dirty_rate'])}/s dirtied")
    if row.get("predicted_downtime_ms"):
        parts.append(f"pause {format_duration(row['predicted_downtime_ms'] / 1000)}")
    if row.get("limited_by") not in (None, "", "nothing", "network"):
        parts.append(f"limited by {row['limited_by']}")
    return f"{text}, round {row['round']}: {', '.join(parts)}"


@operation(CANCEL_MIGRATION)
def cancel_migration(context: Context, arguments: Arguments) -> Any:
    """What `cancel-operation [-f] migration domain` comes to."""
    name = arguments.text("domain")
    if context.migrations is None:
        refuse("reconf.no-migration", name=name)
    for line in context.migrations.cancel(name, force=arguments.flag("force"), who=context.user):
        context.say(line)
