"""Text that a person sees: characters that could hide or fake something are found here, and made visible.

Rules kept here: documents and inputs hold no control, bidirectional or invisible character (line feed and tab
excepted); whatever is shown to an approver goes through `visible`, which leaves no such character over.
"""

import re
from typing import Final

_HIDDEN: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_FIND: Final = re.compile(f"[{_HIDDEN}]")
_SHOW: Final = re.compile(f"[{_HIDDEN}\n\t]")


def hidden(text: str) -> int | None:
    """Return the index of the first control, bidirectional or invisible character, or `None`."""
    found = _FIND.search(text)
    return found.start() if found else None


def visible(text: str) -> str:
    r"""Return `text` on one line with each such character written as an escape (`\n`, `\x1b`, `\u202e`)."""
    if (text.isascii() and text.isprintable()) or not _SHOW.search(text):
        return text
    return _SHOW.sub(lambda found: _escape(found[0]), text.replace("\\", "\\\\"))


def _escape(char: str) -> str:
    return ascii(char)[1:-1]
