"""What a blob is called.

`ab/ab…-<sha256>.dcm`: 122 random bits, so that a key is never used twice and tells nobody anything
about a patient, and the SHA-256 of the content, so that a rebuild from the blobs alone can tell
altered bytes from whole ones. The first two digits spread the blobs over 256 folders.

What ends in `.deleted` instead is no instance but the record of a deletion, kept beside the blobs
so that the database is not the only place that knows of it (see `archive.deletion`).
"""

import re
from uuid import uuid4

from archive.model.instances import BlobKey

_KEY = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{30})-([0-9a-f]{64})\.(dcm|deleted)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_key(sha256: str) -> BlobKey:
    """Make a key that nothing has yet, for an instance with this SHA-256 (hexadecimal)."""
    return _new_key(sha256, "dcm")


def new_record_key(sha256: str) -> BlobKey:
    """Make a key that nothing has yet, for the record of a deletion with this SHA-256."""
    return _new_key(sha256, "deleted")


def _new_key(sha256: str, kind: str) -> BlobKey:
    if _SHA256.fullmatch(sha256) is None:
        message = "a SHA-256 is 64 hexadecimal digits in lower case"
        raise ValueError(message)
    name = uuid4().hex
    return BlobKey(f"{name[:2]}/{name}-{sha256}.{kind}")


def is_key(text: str) -> bool:
    """Tell whether `text` has the form of a key; anything else never reaches a path or an URL."""
    return _KEY.fullmatch(text) is not None


def is_record_key(key: BlobKey) -> bool:
    """Tell whether `key` is that of the record of a deletion."""
    return is_key(key) and key.endswith(".deleted")


def check_key(key: str) -> None:
    """Raise `ValueError` when `key` has not the form of a key."""
    if not is_key(key):
        message = f"not the key of a blob: {key[:120]!r}"
        raise ValueError(message)


def sha256_of_key(key: BlobKey) -> str:
    """Give the SHA-256 (hexadecimal) that the content of this blob has when it is whole."""
    check_key(key)
    return key[36:100]
