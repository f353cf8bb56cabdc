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
    "Acted": "changes", "open_change": "changes", "approve": "changes", "reject": "changes", "revoke": "changes",
    "cancel": "changes", "review": "changes", "close": "changes", "records": "changes", "find": "changes",
    "waiting_for": "changes", "statement_text": "changes", "add_statement": "changes",
    "run": "running", "resume": "running", "undo": "running",
    "status": "watching", "logs": "watching", "wait": "watching", "stop": "watching", "reconcile": "watching",
    "change_story": "watching",
    "audit_list": "auditing", "audit_show": "auditing", "audit_verify": "auditing", "audit_checkpoint": "auditing",
    "log_vkey": "auditing", "evidence": "auditing",
    "audit_population": "inquiries", "audit_sample": "inquiries", "audit_access": "inquiries",
    "audit_exceptions": "inquiries", "audit_reconcile": "inquiries",
    "audit_open": "contents", "audit_redact": "contents", "audit_retention": "contents", "Shown": "contents",
    "audit_restore": "recovering", "audit_health": "recovering",
    "audit_export": "exporting", "STREAM": "exporting",
    "Account": "inquiries", "audit_account": "inquiries", "audit_cases": "inquiries", "moment": "inquiries",
    "read_trust": "inquiries", "write_file": "planning",
    "Proposed": "policies", "policy_propose": "policies", "policy_sign": "policies", "policy_test": "policies",
    "signers_add": "policies", "signers_remove": "policies",
    "doctor": "tooling", "schema": "tooling", "lab_up": "tooling", "lab_down": "tooling", "lab_exec": "tooling",
    "lab_prepare": "tooling", "write_schemas": "tooling",
    "engine_install": "tooling", "engine_status": "tooling", "hosts_scan": "tooling", "hosts_list": "tooling",
    "patch_resolve": "patches",
}  # fmt: skip

__all__ = [
    "STREAM",
    "SUFFIX",
    "Account",
    "Acted",
    "Founded",
    "Proposed",
    "Result",
    "Shown",
    "Workspace",
    "add_statement",
    "approve",
    "audit_access",
    "audit_account",
    "audit_cases",
    "audit_checkpoint",
    "audit_exceptions",
    "audit_export",
    "audit_health",
    "audit_list",
    "audit_open",
    "audit_population",
    "audit_reconcile",
    "audit_redact",
    "audit_restore",
    "audit_retention",
    "audit_sample",
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
    "log_vkey",
    "logged_plan",
    "logs",
    "moment",
    "open_change",
    "patch_resolve",
    "policy_propose",
    "policy_sign",
    "policy_test",
    "read_plan",
    "read_trust",
    "reconcile",
    "records",
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
    "write_file",
    "write_plan",
    "write_schemas",
]

if TYPE_CHECKING:
    from itmp.workspace.auditing import (
        audit_checkpoint,
        audit_list,
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
        open_change,
        read_plan,
        records,
        reject,
        review,
        revoke,
        statement_text,
        waiting_for,
    )
    from itmp.workspace.contents import Shown, audit_open, audit_redact, audit_retention
    from itmp.workspace.exporting import STREAM, audit_export
    from itmp.workspace.founding import Founded, init, init_roots, seal
    from itmp.workspace.inquiries import (
        Account,
        audit_access,
        audit_account,
        audit_cases,
        audit_exceptions,
        audit_population,
        audit_reconcile,
        audit_sample,
        moment,
        read_trust,
    )
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
        write_file,
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
    from itmp.workspace.recovering import audit_health, audit_restore
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
    from itmp.workspace.watching import change_story, logs, reconcile, status, stop, wait


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.workspace.{_HOME[name]}"), name)
