"""All migrations of one machine: what `manager.migrations` is (None for a manager without peers).

An operation that moves a domain:

    @operation("migrate-domain")
    def migrate(context, arguments):
        outcome = context.migrations.start(name, Target("root", "beta"), MoveOptions(password=...), job=context)

`start` blocks like any operation that waits; others see the machine meanwhile, and writers are refused.
"""

from __future__ import annotations

from ldmd.migrator.moves import MoveJob, MoveOptions, MoveOutcome, MoveView, Target


class Migrations:
    """See the module. From any thread, but `start`, which is called inside an operation that writes."""

    def start(self, name: str, target: Target, options: MoveOptions, *, job: MoveJob) -> MoveOutcome:
        """Move a domain, live, bound or inactive as it is; returns when it is decided.

        The kind follows from the domain's state. Cancelling the job (`ldm` killed) cancels the migration before its
        point of no return. Raises RefusedError where nothing was begun: domain.not-found, migration.busy,
        migration.connect (no answer), migration.authentication, migration.certificate, store.full, ...
        """
        raise NotImplementedError

    def cancel(self, name: str, *, force: bool, who: str) -> tuple[str, ...]:
        """`ldm cancel-operation [-f] migration NAME`: what is to be told. `who`: user and time, for the journal.

        Returns when the state machine has taken it up: lines to print. Raises RefusedError migration.none where no
        migration of that domain is under way here, migration.not-here on the target without `force`,
        migration.in-doubt where only -f would help.
        """
        raise NotImplementedError

    def view(self) -> tuple[MoveView, ...]:
        """Those that are under way or in doubt here, on either side; by domain name."""
        raise NotImplementedError

    def role(self, name: str) -> str:
        """The role for `report_flags.flag_words` of a domain: "source", "target", "error" or ""."""
        return next((each.role for each in self.view() if each.domain == name), "")
