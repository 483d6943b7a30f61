"""How `ldm` and others speak with ldmd: msgpack frames on a unix socket (`emulator.hvctl.wire`), docs/internals/rpc.md.

    request   {"id": n, "command": "add-vdisk", "arguments": {...}, "line": "ldm add-vdisk ..."}
    lines     {"id": n, "say": text}  {"id": n, "warn": text}  {"id": n, "progress": {"percent": p, "text": text}}
    answer    {"id": n, "status": 0, "result": ..., "job": n}
              {"id": n, "status": 1, "error": {"code", "text", "cause", "remedy"}, "job": n}
    event     {"event": name, "time": seconds, ...}     after command "watch"

Besides the operations there are "watch" (arguments {}), "jobs" and "cancel" ({"job": n}),
and "xml" ({"text"}: a document of the XML interface; the result is its response).
"""
