"""Under which address clients reach us, and the addresses of resources (PS3.18 §8.3, §10.1.1).

A configured public URL wins. Without one, what a trusted proxy forwards is believed (RFC 7239 and
the X-Forwarded fields), else the request's Host.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

from archive.settings import Settings

PREFIX = "/dicomweb"
"""Path of the DICOMweb service below our root."""

TRUSTED_PROXIES = ("127.0.0.1", "::1")
"""Peers whose Forwarded and X-Forwarded fields are believed: a proxy on the same machine. For a
proxy elsewhere, COVERSLIP_PUBLIC_URL says the address once and for all."""

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_FORWARDED = re.compile(r'(host|proto)=("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Where clients reach us; without a slash at its end."""

    root: str

    @property
    def service(self) -> str:
        """Base URL of the DICOMweb service."""
        return self.root + PREFIX

    def resource(self, study: str, series: str | None = None, instance: str | None = None) -> str:
        """Give the address of a study, series or instance."""
        url = f"{self.root}{PREFIX}/studies/{study}"
        if series is not None:
            url += f"/series/{series}"
        if instance is not None:
            url += f"/instances/{instance}"
        return url


def base_url(scope: Scope, settings: Settings) -> BaseUrl:
    """Tell under which address the client of this request reaches us."""
    if settings.public_url is not None:
        return BaseUrl(settings.public_url)
    fields = {
        name: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in {b"host", b"forwarded", b"via"} or name.startswith(b"x-forwarded-")
    }
    scheme, host, path = scope["scheme"], fields.get(b"host", ""), scope.get("root_path", "")
    forwarded = len(fields) > (b"host" in fields)
    if forwarded and _is_trusted(scope):
        scheme, host, path = _forwarded(fields, scheme, host, path)
    return _made(scheme, host, path, scope.get("server"), forwarded)


def _is_trusted(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and client[0] in TRUSTED_PROXIES


def _forwarded(fields: dict[bytes, str], scheme: str, host: str, path: str) -> tuple[str, str, str]:
    """Read what the proxy nearest to the client says: it comes first in each list."""
    standard = {
        name.lower(): value.strip('"')
        for name, value in reversed(
            _FORWARDED.findall(fields.get(b"forwarded", "").partition(",")[0])
        )
    }

    def first(name: bytes) -> str:
        return fields.get(name, "").partition(",")[0].strip()

    scheme = standard.get("proto") or first(b"x-forwarded-proto") or scheme
    host = standard.get("host") or first(b"x-forwarded-host") or host
    port = first(b"x-forwarded-port")
    if port.isdigit() and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{port}"
    return scheme.lower(), host, first(b"x-forwarded-prefix").rstrip("/") or path


@lru_cache(maxsize=256)
def _made(
    scheme: str, host: str, path: str, server: tuple[str, int | None] | None, forwarded: bool
) -> BaseUrl:
    """Put an address together; what is not well formed is replaced by what we know ourselves."""
    if scheme not in _DEFAULT_PORTS:
        scheme = "http"
    own_host, own_port = server if server is not None else ("localhost", None)
    if _HOST.fullmatch(host) is None:
        host = f"[{own_host}]" if ":" in own_host else own_host
        forwarded = False
    # dicomweb-client sends Host without the port. Behind a proxy that is as it should be.
    if not forwarded and ":" not in host.rpartition("]")[2] and own_port is not None:
        host = f"{host}:{own_port}"
    if host.endswith(f":{_DEFAULT_PORTS[scheme]}"):
        host = host.rpartition(":")[0]
    if _PATH.fullmatch(path) is None:
        path = ""
    return BaseUrl(f"{scheme}://{host}{path}")
