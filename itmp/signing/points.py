"""Strict Ed25519 encodings, beyond what the verification equation checks (RFC 8032 §5.1).

Rules kept here: a point has one encoding (y < p, no negative zero), lies on the curve and is not of small
order; the scalar of a signature is below the group's order. A small-order key would make one signature valid
for every text, a small-order R is never made by an honest signer.
"""

from functools import lru_cache
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
SIZE: Final = 32
_D: Final = -121665 * pow(121666, P - 2, P) % P
_SIGN: Final = 1 << 255
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
"""The y of two of the four points of order 8; the other two have p - y (the tests derive it)."""
_SMALL_ORDER_Y: Final = frozenset({0, 1, P - 1, _Y8, P - _Y8})


def fault(encoded: bytes) -> str:
    """Return why `encoded` is no acceptable point, or an empty text."""
    if reason := encoding_fault(encoded):
        return reason
    return (
        ""
        if _on_curve(int.from_bytes(encoded, "little") & (_SIGN - 1))
        else "bytes that are no point of the curve"
    )


def encoding_fault(encoded: bytes) -> str:
    """As `fault`, but let bytes pass that are no point of the curve.

    Enough for a signature's R: verification compares it with the encoding of a computed point.
    """
    if len(encoded) != SIZE:
        return f"a point of {len(encoded)} bytes instead of {SIZE}"
    y = int.from_bytes(encoded, "little") & (_SIGN - 1)
    if y >= P:
        return "a point that is not in canonical form"
    return "a point of small order" if y in _SMALL_ORDER_Y else ""


def scalar_fault(encoded: bytes) -> str:
    """Return why `encoded` is no canonical scalar, or an empty text."""
    if len(encoded) != SIZE or int.from_bytes(encoded, "little") >= L:
        return "a scalar that is not in canonical form"
    return ""


@lru_cache(maxsize=256)  # a log asks it of one key at each head
def _on_curve(y: int) -> bool:
    """Tell whether x² = (y² - 1) / (d·y² + 1) has a root (x = 0 occurs only at y = ±1, refused before).

    A quotient of two numbers is a square exactly when their product is; -1/d is none, so no division by zero
    hides.
    """
    return pow((y * y - 1) * (_D * y * y + 1), (P - 1) // 2, P) == 1
