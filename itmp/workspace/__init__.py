"""The public Python API: one function per verb, over a `Workspace`.

Names load when they are first used, so that importing this package is cheap. The command line uses nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_HOME: Final = {
    "Workspace": "place",
    "Result": "result",
    "init": "founding", "init_roots": "founding", "seal": "founding", "Founded": "founding",
    "validate": "planning", "compile_plan": "planning", "write_plan": "planning", "read_plan": "changes",
    "logged_plan": "planning", "SUFFIX": "planning",
    "show": "planning", "diff": "planning", "scope": "planning",
    "Acted": "changes", "open_change": "changes", "approve": "changes", "reject": "changes",
    "revoke": "changes",
    "cancel": "changes", "review": "changes", "close": "changes", "records": "changes",
    "listed": "changes", "find": "changes",
    "waiting_for": "changes", "statement_text": "changes", "add_statement": "changes",
    "OnEvent": "events", "RunEvent": "events", "event_json": "events", "outline": "events",
    "run": "running", "resume": "running", "undo": "running",
    "status": "watching", "logs": "entries", "Entry": "entries",
    "wait": "watching", "stop": "watching", "reconcile": "watching",
    "change_story": "watching",
    "audit_list": "entries", "reindex": "entries",
    "audit_show": "auditing", "audit_verify": "auditing", "audit_checkpoint": "auditing",
    "log_vkey": "auditing", "evidence": "auditing",
    "Proposed": "policies", "policy_propose": "policies", "policy_sign": "policies", "policy_test": "policies",
    "signers_add": "policies", "signers_remove": "policies",
    "doctor": "tooling", "schema": "tooling", "lab_up": "tooling", "lab_down": "tooling", "lab_exec": "tooling",
    "lab_prepare": "tooling", "write_schemas": "tooling",
    "engine_install": "tooling", "engine_status": "tooling", "hosts_scan": "tooling", "hosts_list": "tooling",
    "patch_resolve": "patches",
    "Preview": "previewing", "preview": "previewing", "previewed": "previewing", "preview_lines": "previewing",
    "ChangeRecord": "values", "DocumentError": "values", "Plan": "values", "Window": "values",
    "parse_duration": "values", "parse_time": "values",
}  # fmt: skip

__all__ = [
    "SUFFIX",
    "Acted",
    "ChangeRecord",
    "DocumentError",
    "Entry",
    "Founded",
    "OnEvent",
    "Plan",
    "Preview",
    "Proposed",
    "Result",
    "RunEvent",
    "Window",
    "Workspace",
    "add_statement",
    "approve",
    "audit_checkpoint",
    "audit_list",
    "audit_show",
    "audit_verify",
    "cancel",
    "change_story",
    "close",
    "compile_plan",
    "diff",
    "doctor",
    "engine_install",
    "engine_status",
    "event_json",
    "evidence",
    "find",
    "hosts_list",
    "hosts_scan",
    "init",
    "init_roots",
    "lab_down",
    "lab_exec",
    "lab_prepare",
    "lab_up",
    "listed",
    "log_vkey",
    "logged_plan",
    "logs",
    "open_change",
    "outline",
    "parse_duration",
    "parse_time",
    "patch_resolve",
    "policy_propose",
    "policy_sign",
    "policy_test",
    "preview",
    "preview_lines",
    "previewed",
    "read_plan",
    "reconcile",
    "records",
    "reindex",
    "reject",
    "resume",
    "review",
    "revoke",
    "run",
    "schema",
    "scope",
    "seal",
    "show",
    "signers_add",
    "signers_remove",
    "statement_text",
    "status",
    "stop",
    "undo",
    "validate",
    "wait",
    "waiting_for",
    "write_plan",
    "write_schemas",
]

if TYPE_CHECKING:
    from itmp.workspace.auditing import (
        audit_checkpoint,
        audit_show,
        audit_verify,
        evidence,
        log_vkey,
    )
    from itmp.workspace.changes import (
        Acted,
        add_statement,
        approve,
        cancel,
        close,
        find,
        listed,
        open_change,
        read_plan,
        records,
        reject,
        review,
        revoke,
        statement_text,
        waiting_for,
    )
    from itmp.workspace.entries import Entry, audit_list, logs, reindex
    from itmp.workspace.events import OnEvent, RunEvent, event_json, outline
    from itmp.workspace.founding import Founded, init, init_roots, seal
    from itmp.workspace.patches import patch_resolve
    from itmp.workspace.place import Workspace
    from itmp.workspace.planning import (
        SUFFIX,
        compile_plan,
        diff,
        logged_plan,
        scope,
        show,
        validate,
        write_plan,
    )
    from itmp.workspace.policies import (
        Proposed,
        policy_propose,
        policy_sign,
        policy_test,
        signers_add,
        signers_remove,
    )
    from itmp.workspace.previewing import Preview, preview, preview_lines, previewed
    from itmp.workspace.result import Result
    from itmp.workspace.running import resume, run, undo
    from itmp.workspace.tooling import (
        doctor,
        engine_install,
        engine_status,
        hosts_list,
        hosts_scan,
        lab_down,
        lab_exec,
        lab_prepare,
        lab_up,
        schema,
        write_schemas,
    )
    from itmp.workspace.values import (
        ChangeRecord,
        DocumentError,
        Plan,
        Window,
        parse_duration,
        parse_time,
    )
    from itmp.workspace.watching import change_story, reconcile, status, stop, wait


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.workspace.{_HOME[name]}"), name)
