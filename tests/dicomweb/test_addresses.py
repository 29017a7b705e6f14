"""Which of the addresses that a request claims is believed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from archive.settings import Settings
from dicomweb.addresses import base_url

PROXIES = Settings(trusted_proxies=("10.1.0.0/16", "2001:db8::/32"))
ITSELF = "http://pacs.local:8080"


def asked(peer: str, settings: Settings = PROXIES, /, **fields: str) -> str:
    """Give our address as a request from `peer` with these fields says it."""
    names = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    scope: dict[str, Any] = {
        "scheme": "http",
        "client": (peer, 4711),
        "server": ("10.9.9.9", 8080),
        "headers": [(b"host", b"pacs.local:8080"), *names.items()],
    }
    return base_url(scope, settings).root


@pytest.mark.parametrize("peer", ["10.1.0.1", "10.1.255.254", "2001:db8::7", "::ffff:10.1.2.3"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert asked(peer, x_forwarded_host="a.example", x_forwarded_proto="https") == (
        "https://a.example"
    )
    assert asked(peer, forwarded="host=a.example;proto=https") == "https://a.example"


@pytest.mark.parametrize("peer", ["10.2.0.1", "127.0.0.1", "2001:db9::7", "::1", "evil"])
def test_nobody_else_is(peer: str) -> None:
    assert asked(peer, x_forwarded_host="a.example", x_forwarded_proto="https") == ITSELF
    assert asked(peer, forwarded="host=a.example;proto=https") == ITSELF


def test_this_machine_is_trusted_unless_told_otherwise() -> None:
    assert asked("127.0.0.1", Settings(), forwarded="host=a.example") == "http://a.example"
    assert asked("::1", Settings(), forwarded="host=a.example") == "http://a.example"
    assert asked("10.1.0.1", Settings(), forwarded="host=a.example") == ITSELF
    nobody = Settings(trusted_proxies=())
    assert asked("127.0.0.1", nobody, forwarded="host=a.example") == ITSELF


def test_what_a_client_wrote_before_it_reached_the_proxy_is_not_believed() -> None:
    # The proxy appends what it saw: a peer that is no proxy, which had sent the first element.
    assert (
        asked("10.1.0.1", forwarded="for=9.9.9.9;host=evil.example, for=8.8.8.8;host=a.example")
        == "http://a.example"
    )
    assert (
        asked(
            "10.1.0.1",
            x_forwarded_for="9.9.9.9, 8.8.8.8",
            x_forwarded_host="evil.example, a.example",
        )
        == "http://a.example"
    )


def test_through_two_trusted_proxies_the_outer_one_tells_the_name() -> None:
    assert (
        asked(
            "10.1.0.1",
            forwarded='for=8.8.8.8;host=a.example;proto=https, for="10.1.0.2:99";host=inner.local',
        )
        == "https://a.example"
    )
    assert (
        asked(
            "10.1.0.1",
            x_forwarded_for="8.8.8.8, 10.1.0.2",
            x_forwarded_host="a.example, inner.local",
            x_forwarded_proto="https, http",
        )
        == "https://a.example"
    )


@pytest.mark.parametrize(
    "host",
    [
        "a.example\r\nX-Evil: 1",
        "a.example/../x",
        "a.example?",
        "a.example#",
        "user@a.example",
        "a b",
        "<script>",
        "a" * 300,
        "a.example:999999",
        "[::1",
        "ä.example",
    ],
)
def test_a_name_that_is_none_gets_into_no_address(host: str) -> None:
    for field in ({"x_forwarded_host": host}, {"forwarded": f'host="{host}"'}):
        root = asked("10.1.0.1", **field)
        assert root in {"http://10.9.9.9:8080", ITSELF}


@pytest.mark.parametrize("text", ["10.1.0.1/16", "proxy.example", "10.0.0.0/33", "*"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="must be an address or a network"):
        Settings(trusted_proxies=(text,))
