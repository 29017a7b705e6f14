"""What a route takes: who is asking, and what they ask with.

Every route states the permission it needs, in its signature
(``caller: Annotated[Caller, requires(Permission.STUDIES_READ)]``) or, where a plain route stands
beside FastAPI's machinery, as an argument of `ProtectedRoute`. A test lists both from the router.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Request
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from archive.archive import Archive
from archive.settings import AuthMode
from auth import Permission, Principal, Visibility
from dicomweb.addresses import BaseUrl, base_url
from dicomweb.negotiation import Offer, check_charset, choose
from dicomweb.open_access import check_open_access, check_open_reading
from dicomweb.queries import parse_parameters, values_of
from dicomweb.services import Services


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, by which request, and what may be used to answer."""

    principal: Principal
    request: Request
    services: Services

    @property
    def archive(self) -> Archive:
        """The archive; raises `CatalogUnavailable` when it is not open."""
        return self.services.archive

    @property
    def visible(self) -> Visibility:
        """The studies that the caller may see."""
        return self.services.policy.visibility(self.principal)

    @property
    def address(self) -> BaseUrl:
        """Where the caller reached us, for the URLs in the answer."""
        return base_url(self.request.scope, self.services.settings)

    @property
    def query_string(self) -> bytes:
        """The query as it came."""
        query: bytes = self.request.scope["query_string"]
        return query

    def header(self, name: str) -> str | None:
        """Give a field of the request's header."""
        return self.request.headers.get(name)

    def choose(self, offers: Sequence[Offer]) -> Offer:
        """Select what to send (see `negotiation.choose`)."""
        parameters = parse_parameters(self.query_string)
        syntaxes = values_of(parameters, "transfer-syntax")
        offer = choose(
            offers,
            accept=self.request.headers.getlist("accept"),
            query=values_of(parameters, "accept"),
            transfer_syntax=syntaxes[0] if syntaxes else None,
        )
        if offer.is_text:
            check_charset(values_of(parameters, "charset"))
        return offer


class PermissionNeeded:
    """A dependency that lets only those in who have a permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Caller:
        """Give the caller; raises `Unauthenticated` or `Forbidden`."""
        services = services_of(request)
        principal = await admit(services, request.scope, self.permission)
        return Caller(principal, request, services)


def services_of(request: Request) -> Services:
    """Give the services of the application that the request came to."""
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(services_of)]
"""The services, for the few routes that everybody may use."""


def requires(permission: Permission) -> Any:  # noqa: ANN401 — what FastAPI's Depends() gives
    """State the permission that a route needs."""
    return Depends(PermissionNeeded(permission))


async def admit(services: Services, scope: Scope, permission: Permission) -> Principal:
    """Tell who is asking, and whether they may; a token seen lately costs no thread.

    Raises
    ------
    Unauthenticated, Forbidden, ForeignRequest, TokensUnavailable
    """
    if services.settings.auth is AuthMode.OPEN:
        check_open_access(scope, services.settings)
        services.policy.require(services.anonymous, permission)
        return services.anonymous
    authorization = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
    principal = services.recall(authorization)
    if principal is None:
        principal = await anyio.to_thread.run_sync(services.authenticate, authorization)
    services.policy.require(principal, permission)
    return principal


def admit_now(
    services: Services, fields: Mapping[bytes, bytes], permission: Permission
) -> Principal | None:
    """Do for a GET what `admit` does, from memory alone; None when that does not suffice.

    Parameters
    ----------
    fields
        Of the header, names in lower case.

    Raises
    ------
    Unauthenticated, Forbidden, ForeignRequest
    """
    if services.settings.auth is AuthMode.OPEN:
        host = fields.get(b"host")
        check_open_reading(None if host is None else host.decode("latin-1"), services.settings)
        services.policy.require(services.anonymous, permission)
        return services.anonymous
    authorization = fields.get(b"authorization")
    principal = services.recall(None if authorization is None else authorization.decode("latin-1"))
    if principal is not None:
        services.policy.require(principal, permission)
    return principal


Endpoint = Callable[[Scope, Receive, Send, Principal], Awaitable[None]]
"""An ASGI application that is told who is asking."""


class ProtectedRoute(Route):
    """A plain route that needs a permission: what FastAPI's machinery would make too slow.

    Parameters
    ----------
    endpoint
        Called with scope, receive, send and the principal.
    permission
        What one needs for it.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        permission: Permission,
        services: Services,
        name: str,
        methods: Collection[str] = ("GET",),
    ) -> None:
        self.permission = permission
        self._services = services
        self._protected = endpoint
        super().__init__(path, self._admitting, methods=list(methods), name=name)
        self.app = self._admitting  # a method would be taken for a function of a request

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as any route does, and say which route it was."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child

    async def _admitting(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await admit(self._services, scope, self.permission)
        await self._protected(scope, receive, send, principal)
