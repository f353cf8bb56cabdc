"""What the kernel says of its clock, read a second time by the names of its fields (adjtimex(2))."""

import ctypes

from itmp.adapters.clock import synchronised

TIME_ERROR, STA_UNSYNC = 5, 0x40
NAMES = ("constant", "precision", "tolerance", "seconds", "fraction", "tick")


class Timex(ctypes.Structure):
    """`struct timex`, as far as this test looks; room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in NAMES),
        ("rest", ctypes.c_long * 64),
    )


def test_the_kernel_is_asked_for_its_own_word() -> None:
    said = Timex()
    state = ctypes.CDLL(None).ntp_adjtime(ctypes.byref(said))
    assert state < 0 or 9000 <= said.tick <= 11000, "the fields are where they are read"
    assert synchronised() is (0 <= state < TIME_ERROR and not said.status & STA_UNSYNC)
