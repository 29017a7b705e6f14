"""A slide in an archive that pages of other origins may call, and servers of such pages."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from archive.settings import AuthMode, Settings
from auth import Principal
from tests.support.conversions import CASE, converted
from tests.support.http import LiveServer, running
from tests.support.shared import missing
from tests.support.slides import make_svs

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coverslip/clients"
"""Where `scripts/provide` puts clients that no package of ours depends on."""


@dataclass(frozen=True, slots=True)
class Served:
    """A slide that was converted, and stored by a client."""

    server: LiveServer
    files: dict[str, Path]
    """By SOP Instance UID."""
    study: str
    series: str
    level: pydicom.Dataset
    """The finest level, as stored."""
    token: str
    """Of somebody who may delete."""

    @property
    def client(self) -> DICOMwebClient:
        """A client in Python."""
        return DICOMwebClient(
            self.server.dicomweb, headers={"Authorization": f"Bearer {self.token}"}
        )

    @property
    def frames(self) -> list[bytes]:
        """The frames of the finest level."""
        number = int(self.level.NumberOfFrames)
        return list(pydicom.encaps.generate_frames(self.level.PixelData, number_of_frames=number))


def provided(name: str) -> Path:
    """Give the folder of a client; where it is not, fail on CI and skip elsewhere."""
    folder = CACHE / name
    if not folder.is_dir():
        missing(f"{name} is not there (scripts/provide ohif dicomweb_client ez_wsi)")
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One slide; every test reads it and none changes it."""
    folder = tmp_path_factory.mktemp("clients")
    make_svs(folder / "slide.svs", width=1600, height=1200, mpp=0.25, power=40)
    converted(folder / "slide.svs", folder / "out", CASE)
    files = sorted((folder / "out").glob("*.dcm"))
    datasets = [pydicom.dcmread(file) for file in files]
    levels = [one for one in datasets if "VOLUME" in one.ImageType]
    level = max(levels, key=lambda one: int(one.TotalPixelMatrixColumns))
    with running(
        Settings(data_dir=folder / "data", auth=AuthMode.REQUIRED, cors_origins=("*",))
    ) as server:
        token = server.archive.tokens.create("client", "curator", by=Principal.operator())[1]
        by_uid = {str(one.SOPInstanceUID): file for one, file in zip(datasets, files, strict=True)}
        study, series = str(level.StudyInstanceUID), str(level.SeriesInstanceUID)
        made = Served(server, by_uid, study, series, level, token)
        made.client.store_instances(datasets)
        yield made


class _Page(SimpleHTTPRequestHandler):
    """Files of a folder; every other path is the page itself, as its router wants it."""

    def __init__(self, *args: object, overrides: dict[str, bytes], **more: object) -> None:
        self._overrides = overrides
        super().__init__(*args, **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self._overrides:
            content = self._overrides[path]
            self.send_response(200)
            kind = "text/html" if path.endswith(".html") else "text/javascript"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        if not Path(self.translate_path(path)).is_file():
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class StaticServer:
    """Serves a folder from a thread, on a port of its own: another origin than the archive."""

    def __init__(self, folder: Path, overrides: dict[str, bytes]) -> None:
        handler = partial(_Page, directory=str(folder), overrides=overrides)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StaticServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
