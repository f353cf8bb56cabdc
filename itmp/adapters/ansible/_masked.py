"""What the observer of a slice hears of it.

Rules kept here: every text is masked and on one line; a file of tasks that is no longer as it was laid out is told as
what lies outside the plan.
"""

from dataclasses import replace

from itmp.adapters.ansible import _laid
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible._results import DATA
from itmp.adapters.secrets import Masker
from itmp.execution.doors import Action, ActionResult, Observer


class Masked:
    """An observer that sees masked texts only, each on one line; names that the plan shows are no secret.

    It hears of an action from a file that is not as it was `laid` out as one outside the plan.
    """

    def __init__(self, observer: Observer, masker: Masker, public: frozenset[str], laid: _laid.Laid) -> None:
        self._observer, self._masker, self._public, self._laid = observer, masker, public, laid
        self.bad = self.lost = False
        self.background: set[tuple[str, str]] = set()

    def before(self, action: Action) -> None:
        if not action.outside and self._laid.changed(action.path):
            action = replace(action, outside=_laid.CHANGED, do=_laid.DO)
        self._observer.before(
            replace(
                action,
                host=self._plain(action.host),
                name=one_line(self._masker.text(action.name)),
                action=self._plain(action.action),
                delegate=self._plain(action.delegate),
                outside=one_line(self._masker.text(action.outside)),
                do=one_line(self._masker.text(action.do)),
            )
        )

    def after(self, result: ActionResult) -> None:
        cut_off = result.outcome == "unknown" and not result.data.get("started")
        silent = result.outcome == "unreachable" and result.data.get("ignored") is not True
        self.lost = self.lost or cut_off or silent  # what was under way may go on
        self.bad = self.bad or cut_off or result.outcome in {"failed", "unreachable"}
        self.background |= {(result.host, str(name)) for name in result.data.get("started") or ()}
        self.background -= {(result.host, str(name)) for name in result.data.get("ended") or ()}
        clean = self._masker
        self._observer.after(
            replace(
                result,
                name=one_line(clean.text(result.name)),
                action=self._plain(result.action),
                delegate=self._plain(result.delegate),
                message=one_line(clean.text(result.message)),
                diff=clean.text(result.diff),
                data={k: v if k in DATA else clean.value(v) for k, v in result.data.items()},
            )
        )

    def _plain(self, name: str) -> str:
        return name if name in self._public else self._masker.text(name)


__all__ = ["Masked"]
