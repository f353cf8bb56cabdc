"""Pages as text.

Rules kept here: every value is escaped for HTML, and control, bidirectional and invisible characters are written as
escapes before that, so that untrusted text can neither act nor deceive; a page loads nothing but its own style sheet,
runs no script, and reads well on paper.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from itmp.documents.text import visible
from itmp.viewer.account import Account

_STYLE: Final = "style.css"


@cache
def environment() -> Environment:
    """Return the templates: escaping always, an unknown name is an error."""
    made = Environment(
        loader=PackageLoader("itmp.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters["minute"] = _minute
    return made


def prepare() -> None:
    """Compile every template now, so that no first reader waits for that."""
    for name in environment().list_templates(extensions=["html"]):
        environment().get_template(name)


def page(template: str, **values: Any) -> str:
    """Render one page."""
    return environment().get_template(template).render({"inline": "", "where": None, **values})


def report(account: Account) -> str:
    """Return one change as one file that needs nothing else."""
    # Our own style sheet, not a value: it is the one text that is not escaped.
    sheet = Markup(style())  # noqa: S704 - a file of this package
    return (
        environment()
        .get_template("change.html")
        .render(inline=sheet, where=None, **values_of(account), base=None)
    )


def values_of(account: Account) -> Mapping[str, Any]:
    """Return what the change's page needs."""
    return {"account": account, "case": account.case, "record": account.case.record, "report": account.report}


def style() -> str:
    """Return the style sheet."""
    return resources.files("itmp.viewer").joinpath("templates", _STYLE).read_text()


def _finalize(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _minute(value: Any) -> str:
    """Show a time to the second, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}Z" if value else "—"
