"""An sRGB input profile of our own making, for sources that carry no profile.

Deterministic: profiles made by libraries carry the time they were made at.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

_D50: Final = (0.9642, 1.0, 0.8249)
# IEC 61966-2-1 primaries, adapted to D50 by the Bradford transform, as in common sRGB profiles.
_COLORANTS: Final = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
_DATE: Final = (2020, 1, 1, 0, 0, 0)  # of the profile, not of any slide


@cache
def srgb_profile() -> bytes:
    """Return an ICC profile, version 2.1, of the class DICOM wants.

    PS3.3 §C.11.15.1.1: Input Device class ("scnr"), colour space RGB, connection space XYZ.
    """
    tags = {
        b"desc": _description("sRGB"),
        b"cprt": b"text\0\0\0\0No copyright, use freely\0",
        b"wtpt": _xyz(_D50),
        **{name: _xyz(value) for name, value in _COLORANTS.items()},
        b"rTRC": _curve(),
    }
    offset = 128 + 4 + 12 * (len(tags) + 2)
    table, data = [], b""
    for name, body in tags.items():
        padded = body + b"\0" * (-len(body) % 4)
        table.append(struct.pack(">4sII", name, offset + len(data), len(body)))
        if name == b"rTRC":  # one curve serves all three channels
            table.extend(
                struct.pack(">4sII", other, offset + len(data), len(body))
                for other in (b"gTRC", b"bTRC")
            )
        data += padded
    body = struct.pack(">I", len(table)) + b"".join(table) + data
    return _header(128 + len(body)) + body


def _header(size: int) -> bytes:
    head = struct.pack(
        ">I4sI4s4s4s6H4s", size, b"\0\0\0\0", 0x02100000, b"scnr", b"RGB ", b"XYZ ", *_DATE, b"acsp"
    )
    illuminant = b"".join(_fixed(value) for value in _D50)
    return (head + b"\0" * 28 + illuminant).ljust(128, b"\0")


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(v) for v in value)


def _description(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    return (
        b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + b"\0" * (4 + 4 + 3 + 67)
    )


def _curve(entries: int = 1024) -> bytes:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    points = [round(65535 * linear(i / (entries - 1))) for i in range(entries)]
    return b"curv\0\0\0\0" + struct.pack(f">I{entries}H", entries, *points)
