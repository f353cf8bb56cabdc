"""Text from outside, made fit for one line of a terminal or a log."""

import unicodedata
from typing import Final

MAX: Final = 400
_CONTROL: Final = frozenset(
    {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
)  # controls, bidi and other format marks, surrogates


def one_line(text: str, *, limit: int = MAX) -> str:
    r"""Return `text` on one line: white space joined, control and format characters written as `\u{…}`."""
    joined = " ".join(text.split())
    shown = joined if joined.isprintable() else "".join(map(_shown, joined))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(char: str) -> str:
    return f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _CONTROL else char
