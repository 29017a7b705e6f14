"""Restart intervals of JPEG streams: joining them, and making blank ones to fill a frame up.

A restart interval is coded on its own: its predictors start at zero and it starts on a byte
(ISO/IEC 10918-1 §E.1.4, §F.1.1.5). So intervals of one stream may follow each other in another
order under the same tables, bit for bit, as long as the markers between them count up anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conversion.jpeg import EOI, MalformedStream, read_header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conversion.sources.slide import Buffer

_DHT, _DQT = 0xC4, 0xDB
_END_OF_BLOCK: Final = 0x00


def join_intervals(intervals: Iterable[Buffer]) -> bytes:
    """Return the entropy-coded data of a scan made of these intervals, with EOI at its end.

    Parameters
    ----------
    intervals
        Without the markers that ended them.
    """
    body = bytearray()
    for number, interval in enumerate(intervals):
        if number:
            body += bytes((0xFF, 0xD0 + (number - 1) % 8))
        body += interval
    return bytes(body + EOI)


def resized(header: bytes, *, columns: int, rows: int) -> bytes:
    """Return the header of a stream (SOI … SOS) for a picture of another size."""
    at = read_header(header).sof_offset
    head = bytearray(header)
    head[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(head)


def holds_marker(interval: bytes) -> bool:
    """Whether a marker stands in what should be entropy-coded data alone (§B.1.1.5)."""
    return interval.count(b"\xff") != interval.count(b"\xff\x00")


def white_interval(header: bytes, units: int, *, rgb: bool) -> bytes:
    """Return an interval that shows white, coded with the tables of the stream it is to join.

    Parameters
    ----------
    header
        SOI … SOS of the stream, whose one scan has all its components.
    units
        MCUs of the interval.
    rgb
        Whether the components are red, green and blue: white is full in each of them then, while a
        YCbCr white is full in the first alone.

    Raises
    ------
    MalformedStream
        The header lacks a table, or a table has no code for what is needed.
    """
    tables = _Tables(header)
    first = rest = ""
    for index, (blocks, dc, ac, step) in enumerate(tables.components):
        # Samples are shifted by 128, and a block's DC coefficient is eight times their mean
        # (§A.3.1, §A.3.3). What follows in the interval only says that nothing changes.
        level = round(127 * 8 / step) if rgb or index == 0 else 0
        end = _code(ac, _END_OF_BLOCK)
        same = (_difference(dc, 0) + end) * blocks
        first += _difference(dc, level) + end + (_difference(dc, 0) + end) * (blocks - 1)
        rest += same
    bits = first + rest * (units - 1)
    bits += "1" * (-len(bits) % 8)  # §F.1.2.3: filled up with ones
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


def _difference(codes: dict[int, str], value: int) -> str:
    """Code a DC difference that is not negative: its category, then its bits (§F.1.2.1)."""
    category = value.bit_length()
    return _code(codes, category) + (f"{value:0{category}b}" if category else "")


def _code(codes: dict[int, str], symbol: int) -> str:
    try:
        return codes[symbol]
    except KeyError:
        raise MalformedStream("has Huffman tables that cannot code a blank") from None


class _Tables:
    """What the header says of each component, in the order of the scan.

    Attributes
    ----------
    components
        Blocks in an MCU, DC codes, AC codes, quantization step of the DC coefficient.
    """

    def __init__(self, header: bytes) -> None:
        self._huffman: dict[int, dict[int, str]] = {}
        self._steps: dict[int, int] = {}
        seen = read_header(header)
        self._read_tables(header, seen.sos_offset)
        frame = seen.sof_offset + 10
        sampling = {
            header[at]: (header[at + 1], header[at + 2])
            for at in range(frame, frame + 3 * len(seen.components), 3)
        }
        scan = seen.sos_offset + 5
        if header[scan - 1] != len(seen.components):
            raise MalformedStream("has a scan of some of its components only")
        self.components = []
        try:
            for at in range(scan, scan + 2 * len(seen.components), 2):
                factors, quantization = sampling[header[at]]
                blocks = (factors >> 4) * (factors & 15) if len(seen.components) > 1 else 1
                dc, ac = self._huffman[header[at + 1] >> 4], self._huffman[header[at + 1] & 15 | 16]
                self.components.append((blocks, dc, ac, self._steps[quantization]))
        except KeyError as error:
            raise MalformedStream("names a table that it does not define") from error

    def _read_tables(self, header: bytes, end: int) -> None:
        at = 2
        while at < end:
            marker, length = header[at + 1], int.from_bytes(header[at + 2 : at + 4], "big")
            body = header[at + 4 : at + 2 + length]
            if marker == _DHT:
                self._read_huffman(body)
            elif marker == _DQT:
                self._read_quantization(body)
            at += 2 + length

    def _read_huffman(self, body: bytes) -> None:
        """Read tables as class and destination → symbol → code (§B.2.4.2, §C.2)."""
        at = 0
        while at + 17 <= len(body):
            counts = body[at + 1 : at + 17]
            symbols = iter(body[at + 17 : at + 17 + sum(counts)])
            codes: dict[int, str] = {}
            code = 0
            for length, count in enumerate(counts, start=1):
                for symbol in (next(symbols, None) for _ in range(count)):
                    if symbol is None:
                        raise MalformedStream("has a Huffman table that is cut short")
                    codes[symbol] = f"{code:0{length}b}"
                    code += 1
                code <<= 1
            self._huffman[body[at]] = codes
            at += 17 + sum(counts)

    def _read_quantization(self, body: bytes) -> None:
        """Read the first step of each table, which is that of DC (§B.2.4.1)."""
        at = 0
        while at + 65 <= len(body):
            wide = body[at] >> 4
            self._steps[body[at] & 15] = int.from_bytes(body[at + 1 : at + 2 + wide], "big") or 1
            at += 1 + 64 * (1 + wide)
