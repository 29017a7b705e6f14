"""Under which address clients reach us, and the addresses of resources (PS3.18 §8.3, §10.1.1).

A configured public URL wins. Without one, what a trusted proxy forwards is believed (RFC 7239 and
the X-Forwarded fields), else the request's Host. Each proxy adds to the end of these fields, so
they are read from the end, and only as far as those who added are trusted: what stands before that
anybody could have written.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

from archive.settings import Settings

PREFIX = "/dicomweb"
"""Path of the DICOMweb service below our root."""

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_PAIR = re.compile(r'(for|host|proto)\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_ELEMENT = re.compile(r'(?:[^",]|"[^"]*")+')
_NODE = re.compile(
    r"\[([0-9A-Fa-f:.]+)\](?::\S+)?|([0-9]+(?:\.[0-9]+){3})(?::\S+)?|([0-9A-Fa-f:.]+)"
)
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
    fields: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in {b"host", b"forwarded", b"via"} or name.startswith(b"x-forwarded-"):
            text = value.decode("latin-1")
            # Several fields of a name are one list (RFC 9110 §5.2).
            fields[name] = f"{fields[name]},{text}" if name in fields else text
    scheme: str = scope["scheme"]
    path: str = scope.get("root_path", "")
    host = fields.get(b"host", "")
    forwarded = len(fields) > (b"host" in fields)
    client = scope.get("client")
    if forwarded and client is not None and _is_trusted(client[0], settings.trusted_proxies):
        asked = _forwarded(fields, settings.trusted_proxies)
        scheme, host = asked.get("proto", scheme).lower(), asked.get("host", host)
        path = asked.get("prefix", path).rstrip("/")
        port = asked.get("port", "")
        if port.isdigit() and ":" not in host.rpartition("]")[2]:
            host = f"{host}:{port}"
    return _made(scheme, host, path, scope.get("server"), forwarded)


@lru_cache(maxsize=1024)
def _is_trusted(node: str, networks: tuple[str, ...]) -> bool:
    """Tell whether a node of RFC 7239 §6 (an address, with or without a port) may be believed."""
    match = _NODE.fullmatch(node.strip().strip('"'))
    if match is None:
        return False
    try:
        address = ipaddress.ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in networks)


def _forwarded(fields: dict[bytes, str], trusted: tuple[str, ...]) -> dict[str, str]:
    """Read host, proto and prefix as the outermost trusted proxy was asked for them."""
    asked: dict[str, str] = {}
    for name in ("host", "proto", "port", "prefix"):
        values = [one.strip() for one in fields.get(f"x-forwarded-{name}".encode(), "").split(",")]
        hops = _trusted_hops(fields.get(b"x-forwarded-for", "").split(","), trusted)
        value = values[max(0, len(values) - 1 - hops)]
        if value:
            asked[name] = value
    elements = [
        {name.lower(): value.strip('"') for name, value in _PAIR.findall(element)}
        for element in _ELEMENT.findall(fields.get(b"forwarded", ""))
    ]
    hops = _trusted_hops([element.get("for", "") for element in elements], trusted)
    for element in reversed(elements[max(0, len(elements) - 1 - hops) :]):
        asked |= {name: element[name] for name in ("host", "proto") if element.get(name)}
    return asked


def _trusted_hops(nodes: Sequence[str], trusted: tuple[str, ...]) -> int:
    """Count the proxies behind the last one that are trusted, too: each names the one before it."""
    hops = 0
    for node in reversed(nodes[1:]):
        if not _is_trusted(node[:100], trusted):
            break
        hops += 1
    return hops


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
