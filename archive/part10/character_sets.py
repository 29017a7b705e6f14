"""Text of any Specific Character Set as Unicode (PS3.5 §6.1.2, PS3.3 §C.12.1.1.2).

The tables are pydicom's; the decoding is ours, because it must neither warn nor fail: what cannot
be decoded becomes U+FFFD, and the stored bytes are kept anyway.
"""

import re

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

_ESCAPE = b"\x1b"
_RUNS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
# Codecs of Python that take the escape sequences themselves.
_OWN_ESCAPES = frozenset({"iso2022_jp", "iso2022_jp_2"})
_DEFAULT = "iso8859"
# PS3.5 §6.1.2.5.3: these switch back to the first character set.
_TEXT_DELIMITERS = frozenset(b"\\\r\n\t\f")
_NAME_DELIMITERS = frozenset(b"\\^=")


def encodings_of(value: bytes) -> list[str]:
    """Give the Python codecs of a Specific Character Set (0008,0005); unknown terms are Latin-1."""
    terms = [term.strip(b" \0").decode("ascii", "replace") for term in value.split(b"\\")]
    codecs = [_codec(term) for term in terms]
    return codecs or [_DEFAULT]


def _codec(term: str) -> str:
    if term in python_encoding:
        return python_encoding[term]
    # "ISO IR 192", "ISO_IR-100" and the like are common slips of writers.
    normal = re.sub(r"^ISO[ _-]?2022[ _-]IR[ _-]", "ISO 2022 IR ", term.upper())
    normal = re.sub(r"^ISO[ _-]IR[ _-]", "ISO_IR ", normal)
    return python_encoding.get(normal, _DEFAULT)


def decode_text(value: bytes, codecs: list[str], *, name: bool = False) -> str:
    """Decode a value, or several joined by backslashes, of a VR that the character set affects.

    Parameters
    ----------
    value
        As stored.
    codecs
        As `encodings_of` gave them.
    name
        Whether it is a person name, where other characters end a code extension.
    """
    if value.isascii() and _ESCAPE not in value and "utf" not in codecs[0]:
        return value.decode("ascii") if codecs[0] != "shift_jis" else value.decode("shift_jis")
    if _ESCAPE not in value:
        return _plain(value, codecs[0])
    delimiters = _NAME_DELIMITERS if name else _TEXT_DELIMITERS
    return "".join(_run(run, codecs, delimiters) for run in _RUNS.findall(value))


def _plain(value: bytes, codec: str) -> str:
    if codec == _DEFAULT:
        # No character set was declared, or Latin-1. Bytes that are well-formed UTF-8 beyond ASCII
        # are hardly ever anything else, and undeclared UTF-8 is common.
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return value.decode(codec, "replace")


def _run(run: bytes, codecs: list[str], delimiters: frozenset[int]) -> str:
    """Decode a run of bytes that begins with at most one escape sequence."""
    if not run.startswith(_ESCAPE):
        return run.decode(codecs[0], "replace")
    length = 4 if run.startswith((b"\x1b$(", b"\x1b$)")) else 3
    codec = CODES_TO_ENCODINGS.get(run[:length])
    if codec is None:
        return run.decode(codecs[0], "replace")
    if codec in _OWN_ESCAPES:
        return run.decode(codec, "replace")
    run = run[length:]
    end = next((at for at, byte in enumerate(run) if byte in delimiters), len(run))
    return run[:end].decode(codec, "replace") + run[end:].decode(codecs[0], "replace")
