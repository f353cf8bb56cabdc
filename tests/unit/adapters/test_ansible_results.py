from types import SimpleNamespace

import pytest

from itmp.adapters.ansible import _results
from itmp.adapters.ansible._laid import Laid
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible._masked import Masked
from itmp.adapters.secrets import MASK, Masker
from itmp.execution.doors import ActionResult


def result(raw, worker=None, **task):
    fields = {"no_log": False, "action": "command", "resolved_action": "ansible.builtin.command", **task}
    return SimpleNamespace(result=raw, task=SimpleNamespace(**fields), task_fields=worker or {})


def test_a_no_log_result_carries_its_outcome_alone():
    raw = {"msg": "hunter2", "rc": 3, "stderr": "hunter2", "results": [{"failed": True, "msg": "hunter2"}]}
    told = _results.describe(result(raw, no_log=True), "failed", {})
    assert told == {
        "outcome": "failed",
        "action": "ansible.builtin.command",
        "data": {"items": {"failed": 1}},
    }


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        ({"rc": -9, "module_stdout": "", "msg": "Module result deserialization failed."}, "unknown"),
        ({"rc": -9, "msg": "non-zero return code", "stdout": ""}, "unknown"),
        ({"results": [{"rc": 0}, {"failed": True, "rc": -15, "module_stdout": ""}]}, "unknown"),
        ({"rc": -9, "msg": "non-zero return code", "cmd": "kill -9 $$"}, "failed"),
        ({"rc": 137, "module_stdout": "", "msg": "Module result deserialization failed."}, "failed"),
        ({"rc": -9, "msg": "E: no lock"}, "failed"),
    ],
)
def test_a_task_whose_carrier_a_signal_ended_is_not_known_to_have_failed(raw, outcome):
    told = _results.describe(result(raw), "failed", {})
    assert told["outcome"] == outcome
    assert ("it may go on there" in told["message"]) is (outcome == "unknown")


@pytest.mark.parametrize(
    ("raw", "outcome", "message"),
    [
        ({"msg": "done"}, "ok", "done"),
        (
            {"msg": "non-zero return code", "rc": 1, "stderr": "a\ncannot open /x: Permission denied\n"},
            "failed",
            "rc 1: cannot open /x: Permission denied",
        ),
        ({"msg": "non-zero return code", "rc": 7, "stderr": "\n", "stdout": "out\n"}, "failed", "rc 7: out"),
        ({"msg": "non-zero return code", "rc": 1, "stderr": "", "stdout": ""}, "failed", "rc 1: no output"),
        (
            {
                "msg": "non-zero return code",
                "rc": 1,
                "stderr": "Shared connection to 192.0.2.11 closed.\r\n",
                "stdout": "web7 is DOWN\r\n",
            },
            "failed",
            "rc 1: web7 is DOWN",
        ),
        (
            {"msg": "Error executing command.", "rc": 2, "stderr": ""},
            "failed",
            "the command did not start: No such file or directory",
        ),
        ({"msg": "Error executing command.", "rc": 257}, "failed", "the command did not start: rc 257"),
        (
            {"msg": "'/usr/bin/apt-get' failed: E: no lock", "rc": 100, "stderr": "E: no lock\n"},
            "failed",
            "rc 100: '/usr/bin/apt-get' failed: E: no lock",
        ),
        ({"msg": "assertion failed"}, "failed", "assertion failed"),
        ({"msg": "as asked", "rc": 0, "stdout": "fine"}, "failed", "as asked: fine"),
        ({"skip_reason": "Conditional result was False"}, "skipped", "Conditional result was False"),
        ({"results": [{"msg": "fine"}, {"failed": True, "msg": "this one"}]}, "failed", "this one"),
        (
            {
                "msg": "No data. Make sure this host can be reached over ssh: @@@@\nHost key verification failed.\n"
            },
            "unreachable",
            "No data. Host key verification failed.",
        ),
        ({"stdout": "long output of a command"}, "ok", ""),
    ],
)
def test_one_line_says_what_matters(raw, outcome, message):
    assert _results.describe(result(raw), outcome, {})["message"] == message


def test_work_in_the_background_is_unknown_until_it_is_checked():
    assert (
        _results.describe(result({"ansible_job_id": "1.2", "finished": 0}), "changed", {})["outcome"]
        == "unknown"
    )
    assert (
        _results.describe(result({"ansible_job_id": "1.2", "finished": 1}), "changed", {})["outcome"]
        == "changed"
    )


def test_text_from_outside_cannot_steer_a_terminal_or_a_log():
    shown = one_line("a\n\x1b[31mb\u202ec\u2028d\x00\ud800e" + "x" * 1000)
    assert "\n" not in shown
    assert shown.startswith("a \\u{1b}[31mb\\u{202e}c d\\u{0}\\u{d800}e")
    assert shown.isprintable()
    assert len(shown) == 400


def test_work_in_the_background_is_named_at_its_start_and_at_its_end():
    started = {
        "results": [{"ansible_job_id": "1.2", "finished": 0}, {"ansible_job_id": "3.4", "finished": 0}]
    }
    told = _results.describe(result(started), "changed", {})
    assert (told["outcome"], told["data"]["started"]) == ("unknown", ["1.2", "3.4"])
    asking = {"action": "ansible.builtin.async_status", "resolved_action": "ansible.builtin.async_status"}
    ended = _results.describe(result({"ansible_job_id": "1.2", "finished": 1}, **asking), "changed", {})
    assert (ended["outcome"], ended["data"]) == ("changed", {"ended": ["1.2"]})
    not_yet = _results.describe(result({"ansible_job_id": "1.2", "finished": 0}, **asking), "ok", {})
    assert (not_yet["outcome"], not_yet["data"]) == ("ok", {})


def test_a_loop_over_delegates_says_where_each_item_was_done():
    items = [{"_ansible_delegated_vars": {"ansible_delegated_host": name}} for name in ("a", "b", "a")]
    told = _results.describe(result({"results": items}, {"delegate_to": "{{ item }}"}), "ok", {})
    assert told["data"]["delegates"] == ["a", "b"]
    assert "delegate" not in told
    told = _results.describe(result({"results": items[:1]}, {"delegate_to": "{{ item }}"}), "ok", {})
    assert told["delegate"] == "a"


def test_hosts_that_a_task_adds_are_named_in_a_loop_too():
    new = {"add_host": {"host_name": "fresh", "groups": ["x"]}}
    assert _results.added(new) == ["fresh"]
    assert _results.added({"results": [new, {"skipped": True}, {"add_host": {"host_name": "other"}}]}) == [
        "fresh",
        "other",
    ]
    assert _results.added({"add_host": "odd"}) == []


DIFF = {"before": "a\nold\n", "after": "a\nnew\n", "before_header": "/etc/x", "after_header": "/etc/x"}


@pytest.mark.parametrize(
    ("raw", "task"),
    [
        ({"diff": DIFF}, {}),
        ({"diff": DIFF}, {"diff": False}),
        ({"diff": DIFF}, {"diff": "{{ always }}"}),
        ({"diff": DIFF}, {"diff": True, "no_log": True}),
        ({"diff": DIFF, "censored": "yes"}, {"diff": True}),
    ],
)
def test_no_diff_is_told_unasked_or_under_no_log(raw, task):
    assert "diff" not in _results.describe(result(raw, **task), "changed", {})


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"diff": DIFF}, "--- /etc/x\n+++ /etc/x\n@@ -1,2 +1,2 @@\n a\n-old\n+new\n"),
        ({"diff": [DIFF, {"prepared": "as is\n"}]}, "new\nas is\n"),
        ({"diff": {"before": {"mode": "0600"}, "after": {"mode": "0644"}}}, '\n- "mode": "0600"\n'),
        ({"results": [{"diff": DIFF}, {"diff": DIFF, "_ansible_no_log": True}]}, "+new\n"),
        ({"results": [{"diff": DIFF, "censored": "yes"}, "text"]}, ""),
        ({"diff": {"before": None, "after": "new"}}, "@@ -0,0 +1 @@\n+new\n"),
        ({"diff": "text"}, ""),
        ({"diff": {"before": "x" * 300_000, "after": "y"}}, "-… 1 more lines\n+y\n"),
        ({"diff": {"before": "a\n" * 9_000, "after": ""}}, "-… 7000 more lines\n"),
    ],
)
def test_a_diff_is_told_where_the_task_asks_for_it(raw, told):
    found = _results.describe(result(raw, diff=True), "changed", {})["diff"]
    assert told in found
    assert found.count("+new") == told.count("+new") or "as is" in told
    assert len(found) <= 200_000


def test_a_known_secret_is_masked_in_a_diff_line_by_line(tmp_path):
    told = []
    observer = SimpleNamespace(after=told.append)
    masked = Masked(observer, Masker(["hunter2-hunter2"]), frozenset(), Laid(tmp_path, ()))
    masked.after(
        ActionResult(id="1", host="web1", action="copy", outcome="changed", diff="-hunter2-hunter2\n+new\n")
    )
    [result] = told
    assert result.diff == f"-{MASK}\n+new\n"


@pytest.mark.parametrize("ignored", [True, False])
def test_where_the_play_goes_on_without_a_connection_nothing_is_left_to_be_asked_for(tmp_path, ignored):
    masked = Masked(SimpleNamespace(after=id), Masker([]), frozenset(), Laid(tmp_path, ()))
    data = {"ignored": True} if ignored else {}
    masked.after(ActionResult(id="1", host="web1", action="raw", outcome="unreachable", data=data))
    assert masked.lost == (not ignored), "no state of the host would say that it is to be asked"
