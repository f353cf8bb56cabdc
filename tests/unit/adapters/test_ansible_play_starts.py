"""What is looked at again when a play begins: a failure there ends the play, where Ansible would warn and go on."""

from types import SimpleNamespace
from typing import Any

import pytest

from itmp.adapters.ansible import _broken_off
from itmp.adapters.ansible.plugins.callback.itmp_actions import CallbackModule


class Manager:
    """Ansible's queue manager, as far as it is asked: callbacks find it up the stack."""

    _failed_hosts: dict[str, bool] = {}  # noqa: RUF012 -- nobody fails here
    _unreachable_hosts: dict[str, bool] = {}  # noqa: RUF012 -- as above
    _inventory = SimpleNamespace(get_hosts=lambda *_, **__: [])

    def begin(self, callback: CallbackModule, play: Any) -> None:
        callback.v2_playbook_on_play_start(play)

    def end(self, callback: CallbackModule) -> None:
        callback.v2_playbook_on_stats(None)


def callback() -> CallbackModule:
    """A callback that no executor has started."""
    made = CallbackModule.__new__(CallbackModule)
    made._root, made._last, made._failed = "/layout", {}, set()
    made._plays, made._iterator = _broken_off.Plays(), None
    return made


def play(strategy: str, handlers: object = ()) -> Any:
    return SimpleNamespace(
        strategy=strategy,
        handlers=handlers,
        hosts="all",
        _uuid="one",
        get_path=lambda: "/layout/project/playbooks/site.yml:7",
    )


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned", "ansible.builtin.free"])
def test_a_play_begins_under_a_strategy_that_asks_for_each_action(strategy: str) -> None:
    Manager().begin(callback(), play(strategy))


@pytest.mark.parametrize("strategy", ["debug", "acme.tools.linear", "mitogen_linear"])
def test_a_play_does_not_begin_under_another(strategy: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Manager().begin(callback(), play(strategy))
    said = capsys.readouterr().err
    assert said.startswith("itmp: project/playbooks/site.yml:7: ")
    assert "names a strategy" in said
    assert strategy not in said


def test_what_fails_while_a_play_begins_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Manager().begin(callback(), play("linear", handlers=5))
    assert "not reversible" in capsys.readouterr().err


def test_a_callback_that_knows_nothing_of_its_caller_ends_the_play(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for told in (
        lambda: callback().v2_playbook_on_play_start(play("linear")),
        lambda: callback().v2_playbook_on_stats(None),
    ):
        with pytest.raises(SystemExit):
            told()
        assert "otherwise than itmp knows" in capsys.readouterr().err
    Manager().end(callback())
