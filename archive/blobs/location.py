"""Where the blobs are, as a value: a folder, or a place in an object store."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

# Bucket names as S3 and MinIO both take them; a key's prefix as plain path segments.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True, slots=True)
class FolderLocation:
    """Blobs are files below one folder."""

    folder: Path
    staging: Path | None = None
    """Our own scratch folder: files below it are linked into place instead of copied."""


@dataclass(frozen=True, slots=True)
class CacheLocation:
    """Blocks of blobs are kept below one folder of this machine."""

    folder: Path
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """Blobs are objects below one prefix of a bucket."""

    endpoint: str
    """`https://host:port`, no path."""
    bucket: str
    prefix: str
    """Without slashes at either end; empty for the whole bucket."""
    access_key: str
    secret_key: str
    region: str
    cache: CacheLocation | None = None
    """Where blocks of what is read are kept."""

    def __repr__(self) -> str:  # no key in a log, ever
        return f"ObjectLocation({self.endpoint}, s3://{self.bucket}/{self.prefix})"


BlobLocation = FolderLocation | ObjectLocation


def parse_s3_address(text: str) -> tuple[str, str]:
    """Take `s3://bucket/prefix` apart into bucket and prefix.

    Raises
    ------
    ValueError
        When it is none, with what is wrong in words.
    """
    parts = urlsplit(text)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or _BUCKET.fullmatch(parts.netloc) is None:
        message = f"{text!r} is not of the form s3://bucket/prefix (the bucket in lower case)"
        raise ValueError(message)
    if prefix and (_PREFIX.fullmatch(prefix) is None or {".", ".."} & set(prefix.split("/"))):
        message = f"the prefix of {text!r} may hold letters, digits, '_', '.', '-' and '/'"
        raise ValueError(message)
    return parts.netloc, prefix


def check_endpoint(text: str) -> str:
    """Give `text` back when it is the address of an object store.

    Raises
    ------
    ValueError
        When it is not `http://host[:port]` or `https://host[:port]`.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        message = f"{text!r} is not of the form http://host:port or https://host"
        raise ValueError(message)
    return text.rstrip("/")
