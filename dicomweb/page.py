"""Serves the page built from `viewer/`, and what it has to know of this server.

The page is plain files with hashed names. It runs under a strict Content-Security-Policy: scripts
and styles of ours alone, pictures also from memory (tiles are decoded there), nothing framed.
"""

from importlib import resources
from pathlib import Path

from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from archive.errors import NotFound
from archive.settings import AuthMode, Settings
from dicomweb.addresses import PREFIX

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Frame-Options": "DENY",
}
_ONE_YEAR = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_SERVICES = {"api", "health", "metrics", PREFIX.strip("/")}
"""First parts of paths that are never the page's."""
_ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Coverslip</title>
<h1>The page has not been built</h1>
<p>The archive itself is running: its DICOMweb service is at <code>/dicomweb</code>.</p>
<p>To build the page, run <code>make setup</code> in the checkout (it needs Node 20 or newer) and
start the server again.</p></html>
"""


def built_page() -> Path | None:
    """Find the built page: the package's, else the checkout's; None when there is none."""
    packaged = resources.files("dicomweb") / "page"
    checkout = Path(__file__).parents[1] / "viewer" / "dist"
    for folder in (Path(str(packaged)), checkout):
        if (folder / "index.html").is_file():
            return folder
    return None


class Page:
    """Endpoint of all that lies outside of the services: files, or the page for its own paths."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._answer(scope["path_params"].get("path", ""))(scope, receive, send)

    def _answer(self, path: str) -> Response:
        if path.split("/", 1)[0] in _SERVICES:
            raise NotFound("there is no such resource")
        if self._folder is None:
            return Response(
                _ABSENT,
                status_code=503,
                media_type="text/html",
                headers={**SECURITY_HEADERS, "Cache-Control": "no-store"},
            )
        file = self._file(path)
        if file is None:
            raise NotFound("there is no such page")
        # Vite puts a hash of the content into the names of what lies in assets/.
        hashed = file.parent.name == "assets"
        headers = {**SECURITY_HEADERS, "Cache-Control": _ONE_YEAR if hashed else _ASK_AGAIN}
        media_type = _TYPES.get(file.suffix, "application/octet-stream")
        return FileResponse(file, media_type=media_type, headers=headers)

    def _file(self, path: str) -> Path | None:
        """Find the file of a path; the page itself answers for paths without a file's suffix."""
        if self._folder is None or "\x00" in path:
            return None
        try:
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder):
                return None
            if file.is_file():
                return file
        except (OSError, ValueError):  # longer than a name can be, or no text
            return None
        return None if Path(path).suffix else self._folder / "index.html"


def page_routes(settings: Settings, version: str) -> list[Route]:
    """Make the routes; the last one takes every path that no other has."""
    page = Page(built_page())
    configuration = {
        "dicomwebUrl": PREFIX,
        "apiUrl": "/api",
        "authRequired": settings.auth is AuthMode.REQUIRED,
        "version": version,
    }

    async def config(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {**SECURITY_HEADERS, "Cache-Control": _ASK_AGAIN}
        await JSONResponse(configuration, headers=headers)(scope, receive, send)

    return [
        PublicRoute("/config.json", config, name="page_configuration"),
        PublicRoute("/{path:path}", page, name="page"),
    ]


class PublicRoute(Route):
    """A route that everybody may see: it gives out nothing that was stored."""

    def __init__(self, path: str, endpoint: object, *, name: str) -> None:
        super().__init__(path, endpoint, methods=["GET"], name=name)  # type: ignore[arg-type]
        self.app = endpoint  # type: ignore[assignment]
