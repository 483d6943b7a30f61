"""What a rule of a migration is, what it finds, and the report of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ldmd.messages import message
from ldmd.migration.facts import GuestFacts, TargetFacts


class Where(StrEnum):
    """Whose facts a rule needs."""

    SOURCE = "source"
    TARGET = "target"
    BOTH = "both"


class Severity(StrEnum):
    """An error prevents the migration, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command. `strict_storage`: refuse where contents provably differ (beyond the guide)."""

    force: bool = False  # -f
    dry_run: bool = False  # -n
    new_name: str = ""  # host:name
    strict_storage: bool = False

    def name(self, guest: GuestFacts) -> str:
        """The domain's name on the target."""
        return self.new_name or guest.domain.name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something unmet. `text` is what the product prints, where that is known."""

    rule: str  # "G12"
    code: str  # of the message: "migration.cpu-type"
    text: str
    cause: str = ""
    remedy: str = ""
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a check yields: a message and its values; `severity` where it is not the rule's."""

    code: str
    values: tuple[tuple[str, object], ...] = ()
    severity: Severity | None = None


Check = Callable[[GuestFacts, TargetFacts, Options], Iterator[Found]]


def found(code: str, **values: object) -> Found:
    """Something unmet, by its message without "migration."."""
    return Found(code=f"migration.{code}", values=tuple(values.items()))


LIVE, BOUND, INACTIVE = "live", "bound", "inactive"
ALL = (LIVE, BOUND, INACTIVE)
BINDS = (LIVE, BOUND)
ONLY_LIVE = (LIVE,)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One requirement. Without a check it is a behaviour, and `proof` names what shows it."""

    id: str  # "G12" of the guide, "M05" of the other pages
    name: str
    summary: str  # one line
    where: Where = Where.BOTH
    severity: Severity = Severity.ERROR
    check: Check | None = None
    when: tuple[str, ...] = ALL  # states of the domain in which it holds
    forced: bool = False  # -f makes its errors warnings
    final: bool = False  # where it is unmet nothing else matters, and what helps against that is no help
    proof: str = ""

    @property
    def kind(self) -> str:
        """ "check" or "behaviour"."""
        return "behaviour" if self.check is None else "check"

    def findings(self, guest: GuestFacts, target: TargetFacts, options: Options) -> Iterator[Finding]:
        """What is unmet."""
        if self.check is None or state_of(guest) not in self.when:
            return
        for each in self.check(guest, target, options):
            words = message(each.code, **dict(each.values))
            severity = each.severity or self.severity
            if self.forced and options.force:
                severity = Severity.WARNING
            yield Finding(rule=self.id, code=each.code, text=words.text, cause=words.cause, remedy=words.remedy,
                          severity=severity)


def state_of(guest: GuestFacts) -> str:
    """Which of LIVE, BOUND, INACTIVE a domain is; a state in between counts as what it has."""
    if guest.live:
        return LIVE
    return BOUND if guest.domain.binding is not None else INACTIVE


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that preflight found, in the order of the rules."""

    domain: str
    findings: tuple[Finding, ...] = ()
    dry_run: bool = False

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What prevents the migration."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What does not."""
        return tuple(each for each in self.findings if each.severity is Severity.WARNING)

    @property
    def texts(self) -> tuple[str, ...]:
        """Of what prevents it, each in one line."""
        return tuple(" ".join(each.text.splitlines()) for each in self.errors)

    @property
    def ok(self) -> bool:
        """True where the migration may begin."""
        return not self.errors

    def lines(self) -> tuple[str, ...]:
        """What is printed, the product's words first of each; the last line only where something prevents it."""
        rows: list[str] = []
        for each in self.findings:
            rows += each.text.splitlines()
            rows += [f"  {line}" for line in (each.cause, each.remedy) if line]
        if self.errors:
            rows.append(message("migration.would-fail" if self.dry_run else "migration.failed", name=self.domain).text)
        return tuple(rows)
