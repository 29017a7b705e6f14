"""Who is answered where authentication is off: this machine, under its own names, and nobody else.

A loopback address keeps the network out, but not the pages in a browser on the same machine. A page
of another site can point its own name at 127.0.0.1 and then read what it likes (DNS rebinding), or
send forms to us. Both show: in Host, and in Origin (Fetch Standard §3.2). With tokens neither
helps, since a browser does not send ours by itself.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from archive.settings import Settings
from auth import ForeignRequest

_HARMLESS = {"GET", "HEAD", "OPTIONS"}  # what these read, a foreign page never gets to see


def check_open_access(scope: Scope, settings: Settings) -> None:
    """Pass when a request without authentication comes from where it may.

    Raises
    ------
    ForeignRequest
        When it is meant for another name, or sent by a page of another site.
    """
    host = origin = None
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"origin":
            origin = value.decode("latin-1")
    check_open_reading(host, settings)
    if origin is None or scope["method"] in _HARMLESS:
        return
    if "*" in settings.cors_origins or origin in settings.cors_origins:
        return
    if not _is_ours(_hostname(origin), _public_name(settings)):
        raise ForeignRequest("Origin", origin)


def check_open_reading(host: str | None, settings: Settings) -> None:
    """Pass when a GET, whose Host is given, is meant for us by a name of ours.

    Raises
    ------
    ForeignRequest
        When it is meant for another name.
    """
    if host is not None and not _is_ours(_hostname(f"//{host}"), _public_name(settings)):
        raise ForeignRequest("Host", host)


def _public_name(settings: Settings) -> str | None:
    return None if settings.public_url is None else urlsplit(settings.public_url).hostname


@lru_cache(maxsize=256)
def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _is_ours(host: str | None, public: str | None) -> bool:
    """Tell whether a name always means this machine (RFC 6761 §6.3), or is the configured one."""
    if host is None:
        return False
    if host in {"localhost", public} or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
