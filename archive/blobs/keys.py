"""What a blob is called.

`ab/ab…-<sha256>.dcm`: 122 random bits, so that a key is never used twice and tells nobody anything
about a patient, and the SHA-256 of the content, so that a rebuild from the blobs alone can tell
altered bytes from whole ones. The first two digits spread the blobs over 256 folders.
"""

import re
from uuid import uuid4

from archive.model.instances import BlobKey

_KEY = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{30})-([0-9a-f]{64})\.dcm")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_key(sha256: str) -> BlobKey:
    """Make a key that nothing has yet, for content with this SHA-256 (hexadecimal)."""
    if _SHA256.fullmatch(sha256) is None:
        message = "a SHA-256 is 64 hexadecimal digits in lower case"
        raise ValueError(message)
    name = uuid4().hex
    return BlobKey(f"{name[:2]}/{name}-{sha256}.dcm")


def is_key(text: str) -> bool:
    """Tell whether `text` has the form of a key; anything else never reaches a path or an URL."""
    return _KEY.fullmatch(text) is not None


def check_key(key: str) -> None:
    """Raise `ValueError` when `key` has not the form of a key."""
    if not is_key(key):
        message = f"not the key of a blob: {key[:120]!r}"
        raise ValueError(message)


def sha256_of_key(key: BlobKey) -> str:
    """Give the SHA-256 (hexadecimal) that the content of this blob has when it is whole."""
    check_key(key)
    return key[-68:-4]
