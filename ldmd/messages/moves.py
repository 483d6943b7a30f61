"""Messages of `migrate-domain` as a command: its operands, passwords, and what is recorded of migrations."""

from __future__ import annotations

from ldmd.messages.table import Message

_ASK = "give it with -p FILE, or use -c with trusted certificates"

TABLE = (
    Message("password.user", "{user!r} is no name of a user", "",
            "at most 32 letters, digits and any of - _ . that begin with a letter"),
    Message("password.bad", "this password cannot be used: {why}", "", "choose one line of 1 to 1024 bytes"),
    Message("password.terminal", "the password of the target cannot be asked for: there is no terminal", "", _ASK),
    Message("password.none", "{user} has no password here", "", "`sun4v passwd --list` shows who has one"),
    Message("password.no-terminal", "the password cannot be asked for: standard input is no terminal", "",
            "give it with --file FILE, or --file - for standard input"),
    Message("password.differ", "the two passwords are not the same; nothing was changed", "", "try again"),
    Message("password.source", "the password in {name} cannot be used: {problem}",
            "-p names a file whose first line is the target's password", "{help}"),
    Message("migration.target", "{target!r} is no target of a migration: {problem}",
            "it has the form [user@]target-host[:target-ldom]", "an IPv6 address stands in brackets: [fe80::1]:ldg1"),
    Message("migration.target-number", "{number} behind the colon would be the domain's name on {host}, not a port",
            "a domain that is called by nothing but a number is hardly meant",
            "a port belongs into hosts.toml of this manager; a new name has a letter"),
    Message("migration.certificates-user", "-c and a user exclude each other",
            "with -c the managers know each other by their certificates", "leave {user}@ away, or leave -c away"),
    Message("migration.certificates-password", "-c and a password exclude each other",
            "with -c the managers know each other by their certificates", "leave -p away, or leave -c away"),
    Message("migration.password-missing", "the password of the target is missing", "", _ASK),
    Message("migration.itself", "LDom {name} is on {host} already", "source and target are the same machine",
            "name another machine; `sun4v machines` shows those of this home"),
    Message("migration.no-peers", "this manager does not migrate domains", "it was started without its peer link",
            "restart ldmd"),
    Message("migration.cancelled", "the migration of LDom {name} was cancelled"),
    Message("migration.record", "{path} is no record of a migration: {problem}", "", "name another; `sun4v report` "
            "without a name lists them"),
    Message("migration.no-record", "there is no record of a migration {name!r}", "there are: {known}",
            "`sun4v report` lists them"),
    Message("migration.plot", "--png needs matplotlib, which is not installed", "it draws the picture",
            "`pip install 'sun4v[plot]'`, or use --json or --trace"),
)
