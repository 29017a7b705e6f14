"""The place where everything is put together.

`create_app(settings)` for tests and commands; uvicorn takes it as a factory, and settings are then
read from outside once. No slide library is imported here or below.
"""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from archive.archive import open_archive
from archive.configuration import load
from archive.errors import MalformedRequest
from archive.settings import AuthMode, Settings
from dicomweb import problems
from dicomweb.admin import operation, slides
from dicomweb.attendance import Attendance
from dicomweb.description import describe
from dicomweb.edge import Edge, Problems, WithoutQuery
from dicomweb.immediate import Fields, ImmediateAnswer
from dicomweb.metrics import Metrics
from dicomweb.outgoing import Outgoing
from dicomweb.page import page_routes
from dicomweb.pictures import Pictures
from dicomweb.routes import (
    bulkdata,
    capabilities,
    delete,
    metadata,
    rendered,
    retrieve,
    search,
    store,
    uri,
)
from dicomweb.routes.frames import FramesRoute
from dicomweb.services import Services

_DESCRIPTION = """\
A DICOMweb archive for whole-slide pathology: the Studies Service of DICOM PS3.18 below `/dicomweb`,
and what DICOMweb has no words for below `/api`, marked `x-non-standard`.
"""


class Application(FastAPI):
    """FastAPI's application with our edge around it, outside of all of its layers."""

    edge: Edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open and close the archive."""
        if scope["type"] == "http":
            await self.edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def now(self, target: bytes, fields: Fields) -> ImmediateAnswer | None:
        """Answer a GET at once where that can be done (see `immediate.AnswersNow`)."""
        return self.edge.now(target, fields)

    def openapi(self) -> dict[str, Any]:
        """Describe the HTTP interface."""
        services: Services = self.state.services
        return describe(
            self.router.routes,
            title=self.title,
            version=self.version,
            description=self.description,
            tokens=services.settings.auth is AuthMode.REQUIRED,
        )


def create_app(settings: Settings | None = None) -> Application:
    """Put the application together.

    Parameters
    ----------
    settings
        Read from flags' environment, `.env` and files when left out.

    Returns
    -------
    Application
        Of ASGI; it opens the archive when it starts and closes it when it ends.
    """
    settings = load().settings if settings is None else settings
    services = Services(
        settings=settings, metrics=Metrics(), pictures=Pictures(settings.max_rendered_pixels)
    )
    app = Application(
        title="Coverslip",
        version=_version(),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        # `coverslip openapi` prints the document; FastAPI's pages load scripts from elsewhere.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    frames = FramesRoute(services)
    app.router.routes[:] = [frames, *_routes(services)]
    app.add_exception_handler(HTTPException, _answer_router)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_middleware(Problems)
    app.edge = Edge(
        Outgoing(Attendance(super(Application, app).__call__)),
        direct=frames,
        metrics=services.metrics,
        allowed=lambda scope: allowed_methods(app.router.routes, scope),
        cors_origins=settings.cors_origins,
        requests_at_once=settings.max_requests_at_once,
    )
    logging.getLogger("uvicorn.access").addFilter(WithoutQuery())
    return app


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    """Give the methods that a path has, of all routes that match it; none for a path without."""
    methods: set[str] = set()
    for route in routes:
        # The page takes every path, so it only says something about those that nobody else has.
        if methods and route.name == "page":  # type: ignore[attr-defined]
            break
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return methods | {"HEAD"} if "GET" in methods else methods


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    archive = await anyio.to_thread.run_sync(open_archive, services.settings)
    services.open(archive)
    try:
        yield
    finally:
        services.opened = None
        await anyio.to_thread.run_sync(archive.close)


def _routes(services: Services) -> Iterable[BaseRoute]:
    """Give every route but that of frames, the busiest first: they are tried in order."""
    for module in (
        metadata,
        bulkdata,
        rendered,
        search,
        store,
        retrieve,
        uri,
        capabilities,
        delete,
        slides,
        operation,
    ):
        yield from module.router.routes
    yield from page_routes(services.settings, _version())


async def _answer_router(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses; 405 names every method that the path has."""
    response = problems.answer(error)
    if response.status_code == 405:
        methods = allowed_methods(request.app.router.routes, request.scope)
        response.headers["Allow"] = ", ".join(sorted(methods | {"OPTIONS"}))
    return response


async def _answer_validation(request: Request, error: Exception) -> Response:
    del request, error  # what was sent stays out of the answer
    return problems.answer(MalformedRequest("a parameter of the request is missing or malformed"))


def _version() -> str:
    try:
        return version("coverslip")
    except PackageNotFoundError:
        return "0.0.0"
