"""What is measured beside the archive: nginx, the limit, and Orthanc, another archive."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import children_of, free_port, processor_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that somebody else wrote."""

    name: str
    base: str
    pid: int

    def processor_seconds(self) -> float:
        """Tell how much processor time it has used since it started."""
        return processor_seconds(self.pid)


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[Peer | None]:
    """Hand out the files under `root` with one nginx worker; None where nginx is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if program is None:
        yield None
        return
    folder.mkdir(exist_ok=True)
    port = free_port()
    # Files that it holds open count against its limit, and so does each connection.
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    held = 30_000 if most_files == resource.RLIM_INFINITY else min(30_000, most_files * 3 // 4)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        {"user root;" if os.geteuid() == 0 else ""}
        events {{ worker_connections 512; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
          open_file_cache max={held} inactive=600s; open_file_cache_valid 600s;
          types {{ image/jpeg jpg; }}
          client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
          fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi;
          scgi_temp_path {folder}/nginx-scgi;
          server {{ listen 127.0.0.1:{port}; root "{root}"; }}
        }}
        """
    )
    process = subprocess.Popen([program, "-c", str(configuration), "-e", f"{folder}/nginx.log"])
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0 and children_of(process.pid):
                    break
            time.sleep(0.05)
        yield Peer("nginx, one worker", f"http://127.0.0.1:{port}", children_of(process.pid)[0])
    finally:
        process.terminate()
        process.wait()


@contextmanager
def orthanc(folder: Path) -> Iterator[Peer | None]:
    """Run an empty Orthanc whose storage is cached in memory; None where it is not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/sbin")
    if program is None or not _ORTHANC_PLUGINS.exists():
        yield None
        return
    folder.mkdir(exist_ok=True)
    port = free_port()
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "Name": "bench",
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "index"),
                "StorageCompression": False,
                "MaximumStorageCacheSize": 8192,  # MiB
                "HttpPort": port,
                "DicomServerEnabled": False,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "KeepAlive": True,
                "HttpThreadsCount": 64,
                "Plugins": [str(_ORTHANC_PLUGINS)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(configuration)], stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}"
        yield Peer(f"Orthanc {_orthanc_version(process, base)}", base, process.pid)
    finally:
        process.terminate()
        process.wait()


def _orthanc_version(process: subprocess.Popen[bytes], base: str) -> str:
    """Wait until Orthanc answers; give its version and that of its DICOMweb."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            found = []
            for place in ("/system", "/plugins/dicom-web"):
                with urllib.request.urlopen(base + place, timeout=5) as answer:  # noqa: S310 — ours
                    found.append(str(json.load(answer)["Version"]))
            return f"{found[0]} (DICOMweb {found[1]})"
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("Orthanc did not get ready")
