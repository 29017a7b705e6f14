"""Content codings of what is text: gzip and Brotli (RFC 9110 §8.4.1, §12.5.3; RFC 7932).

Frames and files are not packed: they are packed already, or fetched by range.
"""

import zlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence

import brotli

BROTLI = "br"
GZIP = "gzip"

FLOOR_BYTES = 1024
"""A shorter body is sent as it is: it fits into a packet either way."""
GZIP_LEVEL = 4
"""Metadata shrink to a sixth at any level; higher ones only take longer."""
BROTLI_QUALITY = 3
"""As fast as gzip at its level 4, and a sixth smaller; from 4 on the time doubles."""

_ALIASES = {"x-gzip": GZIP}


def choose_coding(
    accept_encoding: str | None, *, favourites: Sequence[str] = (BROTLI, GZIP)
) -> str | None:
    """Select the coding that the client likes best (RFC 9110 §12.5.3).

    Parameters
    ----------
    favourites
        The codings that there are; of those that the client likes equally the first is taken.

    Returns
    -------
    str or None
        None where the body is to be sent as it is.
    """
    weights: dict[str, float] = {}
    for item in (accept_encoding or "").lower().split(","):
        name, _, parameters = item.partition(";")
        name = name.strip()
        if name:
            weights[_ALIASES.get(name, name)] = _weight(parameters)
    others = weights.get("*", 0.0)
    best, most = None, weights.get("identity", 0.0)
    for coding in favourites:
        weight = weights.get(coding, others)
        # Plain text is liked as well as a coding of the same weight: then the coding is taken.
        if weight > most or (weight == most > 0 and best is None):
            best, most = coding, weight
    return best


def encoded(content: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Pack a body piece by piece."""
    if coding == BROTLI:
        yield from _brotli(content)
        return
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in content:
        packed = compressor.compress(piece)
        if packed:
            yield packed
    yield compressor.flush()


def pack(body: bytes, accept_encoding: str | None, headers: MutableMapping[str, str]) -> bytes:
    """Give a body as the client likes it best, and say so in its headers."""
    coding = choose_coding(accept_encoding) if len(body) >= FLOOR_BYTES else None
    if coding is None:
        return body
    headers["Content-Encoding"] = coding
    return b"".join(encoded([body], coding))


def _brotli(content: Iterable[bytes]) -> Iterator[bytes]:
    compressor = brotli.Compressor(quality=BROTLI_QUALITY)
    for piece in content:
        packed = compressor.process(piece)
        if packed:
            yield packed
    yield compressor.finish()


def _weight(parameters: str) -> float:
    """Read a weight (RFC 9110 §12.4.2); one that cannot be read refuses nothing."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0
