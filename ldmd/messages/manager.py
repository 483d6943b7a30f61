"""Messages of the manager itself: store, machine, jobs, access."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("command.unknown", "unknown sub-command {name}", "", "`ldm --help` lists the sub-commands"),
    Message("access.write", "Authorization failed: {user} may only list",
            "ldmd's access file gives {user} the role read", "ask the owner of ldmd for the role write in {file}"),
    Message("access.none", "Authorization failed: {user} may not use this manager", "",
            "ask the owner of ldmd for a role in {file}"),
    Message("internal", "internal error in {command}: {problem}",
            "this is a defect of ldmd; nothing was changed by the step that failed", "ldmd's log has the details"),
    Message("machine.unreachable", "the machine {machine} does not answer", "{problem}",
            "see `sun4v machines`; if it is off, `sun4v power-on {machine}`"),
    Message("machine.refused", "the machine refused: {problem}", "request {op} was refused with code {why}",
            "nothing was changed"),
    Message("machine.other", "this manager's store is that of machine {store}, not of {machine}", "",
            "use another --state-dir for each machine"),
    Message("manager.conflict", "the change would make a contradiction: {problem}", "",
            "this is a defect of ldmd; nothing was changed"),
    Message("logctl.fixed", "{name} messages cannot be switched off"),
    Message("job.cancelled", "the operation was cancelled"),
    Message("job.not-found", "there is no operation {job} that runs", "", "`ldm list -o status` shows what runs"),
    Message("store.full", "the configuration could not be written: {problem}", "no space is left for {path}",
            "nothing was changed; free some space there and try again"),
    Message("store.write", "the configuration could not be written: {problem}", "the store is {path}",
            "nothing was changed; check that file system and try again"),
    Message("store.damaged", "the store {path} is damaged: {problem}", "",
            "nothing was dropped or changed; end ldmd, keep a copy of that file, put {good} (as it was when ldmd "
            "started last) in its place, and start ldmd again"),
    Message("store.newer", "the store {path} was written by a newer version (schema {schema}; this one knows {known})",
            "", "use that version, or another --state-dir"),
    Message("spconfig.damaged", "configuration {name} on the SP cannot be read: {problem}", "",
            "remove it with `ldm remove-spconfig {name}` and save it anew"),
)
