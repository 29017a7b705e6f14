"""The one Settings object, and how it is read: flag over environment over `.env` over a TOML file.

It is read once, in `create_app`, the worker and the commands, and passed on in parts. No other
module reads the environment. `Settings(...)` called directly reads nothing from outside, which is
what tests want; `load` reads everything, and remembers where each value came from.
"""

import ipaddress
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from archive.blobs.location import (
    BlobLocation,
    CacheLocation,
    FolderLocation,
    ObjectLocation,
    check_endpoint,
    parse_s3_address,
)
from archive.errors import UnsafeSettings

PREFIX = "COVERSLIP_"
"""Of every environment variable."""

MIB = 1024**2
GIB = 1024**3
LEAST_CACHE_BYTES = 16 * MIB
"""Below this a block cache would forget one frame for the next."""


class AuthMode(StrEnum):
    """Whether the archive asks who is asking."""

    OPEN = "open"
    REQUIRED = "required"


def _public_url(text: str) -> str:
    """Check an address that clients are told; it ends without a slash."""
    parts = urlsplit(text)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username is not None
    ):
        message = "must be an address such as https://slides.example.org, without query or login"
        raise ValueError(message)
    return text.rstrip("/")


def _origin(text: str) -> str:
    """Check one origin as a browser sends it (RFC 6454 §7), or `*`."""
    parts = urlsplit(text)
    if text != "*" and (
        parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query
    ):
        message = f"{text!r} must be an origin such as https://viewer.example.org, or *"
        raise ValueError(message)
    return text


def _network(text: str) -> str:
    """Check the address of a machine or a network; it is given in CIDR form (RFC 4632)."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        message = f"{text!r} must be an address or a network such as 10.1.0.0/16 ({error})"
        raise ValueError(message) from error


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _cache_size(size: ByteSize) -> ByteSize:
    """Check the size of the block cache: a few frames at least, or none."""
    if size != 0 and size < LEAST_CACHE_BYTES:
        message = f"must be 0, or at least {LEAST_CACHE_BYTES // MIB} MiB"
        raise ValueError(message)
    return size


Folder = Annotated[Path, AfterValidator(_absolute)]
"""A folder, made absolute at once, so that a child process elsewhere means the same one."""


class Settings(BaseSettings):
    """Everything that can be set. Sizes take plain bytes or a unit (`512MiB`, `4GB`)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # `COVERSLIP_X=` in a compose file means: not set
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    # where things lie
    data_dir: Folder = Field(default=Path("coverslip-data"), validate_default=True)
    """Folder of everything the archive keeps on this machine. One server at a time works on it."""
    database_url: SecretStr | None = None
    """PostgreSQL to use, `postgresql://user:password@host:5432/name`. Unset: an embedded one in
    the data folder, so that a first start needs nothing."""
    database_connections: int = Field(default=10, ge=2, le=200)
    """Database connections that one process keeps at most; PostgreSQL allows 100 in all unless
    told otherwise."""
    blobs: str | None = None
    """Where the DICOM files go: a folder, or `s3://bucket/prefix`. Unset: `blobs` in the data
    folder."""
    s3_endpoint: Annotated[str, AfterValidator(check_endpoint)] | None = None
    """Address of the object store, `https://host:port`. Needed when the blobs are in a bucket."""
    s3_access_key: str | None = None
    """Access key of the object store."""
    s3_secret_key: SecretStr | None = None
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the bucket; MinIO's default, and set so that no request is spent on asking."""
    staging: Folder | None = None
    """Scratch folder for what comes in. Unset: `staging` in the data folder, where a folder of
    blobs takes a file over without copying it."""

    # who is asking
    auth: AuthMode = AuthMode.OPEN
    """`open`: everybody who reaches the server may read and store; on a loopback address only.
    `required`: a token is asked for (`coverslip token create`)."""
    token_cache_seconds: float = Field(default=5.0, ge=0, le=60)
    """Seconds for which a token that was looked up is believed; a revoked one works that long."""

    # how it is reached
    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine only."""
    port: int = Field(default=8080, ge=1, le=65535)
    """TCP port to listen on."""
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    """Address under which clients reach the server, when a proxy stands before it. Unset: what
    the request says."""
    workers: int = Field(default=1, ge=1, le=64)
    """Server processes. One fills a core; each has caches of its own."""
    max_connections: int = Field(default=16_384, ge=16, le=1_000_000)
    """Connections that one process keeps open at most, as far as the system lets it open files. A
    new one takes the place of an idle one; when none is idle it is told to come back."""
    max_requests_at_once: int = Field(default=512, ge=8, le=100_000)
    """Requests that one process answers at the same time; others are told to come back. Each may
    hold about a mebibyte for a client that reads slowly."""
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode] = (
        "127.0.0.0/8",
        "::1/128",
    )
    """Addresses and networks (`10.1.0.0/16`), separated by commas, of proxies whose Forwarded and
    X-Forwarded fields are believed. Everybody else could claim any address with them."""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode] = ()
    """Origins whose pages may call the server from a browser, separated by commas; `*` is any.
    None by default: our own page needs none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""

    # how much it takes
    max_request_bytes: ByteSize = Field(default=ByteSize(256 * GIB), gt=0)
    """Largest request body, in bytes: a whole case of slides in one store request."""
    max_instance_bytes: ByteSize = Field(default=ByteSize(64 * GIB), gt=0)
    """Largest DICOM instance, in bytes; the largest in the field is about 20 GB."""
    max_slide_bytes: ByteSize = Field(default=ByteSize(64 * GIB), gt=0)
    """Largest slide file that is taken for conversion, in bytes."""
    max_header_bytes: ByteSize = Field(default=ByteSize(512 * MIB), gt=0)
    """Largest dataset without its pixel data, in bytes. It is read into memory as a whole; one of
    250,000 frames with functional groups for each has about 150 MB."""
    max_search_results: int = Field(default=1000, ge=1, le=100_000)
    """Rows that one search answers at most; clients page with `limit` and `offset`."""
    search_attributes: Annotated[tuple[str, ...], NoDecode] = ()
    """Attributes to search by beside the usual ones, separated by commas: keywords or tags, those
    inside of sequences joined by dots, such as `OperatorsName,AcquisitionDateTime`. Restart the
    servers, then run `coverslip reindex` once."""
    max_rendered_pixels: int = Field(default=64_000_000, ge=1)
    """Pixels of one rendered picture at most; decoding takes about 12 bytes for each."""

    staging_reserve_bytes: ByteSize = Field(default=ByteSize(256 * MIB), ge=0)
    """Room on the disk of the staging folder that is left free, in bytes: nothing is received any
    more when there is less, so that a database on the same disk goes on working."""

    # what it keeps
    deletion_grace_days: float = Field(default=30.0, ge=0, le=36_500)
    """Days between the deletion of an instance, which hides it at once, and the day on which its
    bytes are destroyed."""

    # what it remembers
    frame_cache_bytes: ByteSize = Field(default=ByteSize(256 * MIB), ge=0)
    """Memory for located instances and their frame indexes, in bytes a process; 16 bytes a frame,
    so this holds the largest slides of a thousand cases."""
    metadata_cache_bytes: ByteSize = Field(default=ByteSize(64 * MIB), ge=0)
    """Memory for metadata that was read lately, in bytes a process."""
    transcoded_cache_bytes: ByteSize = Field(default=ByteSize(64 * MIB), ge=0)
    """Memory for frames that were brought into another transfer syntax, in bytes a process."""
    locate_cache_seconds: float = Field(default=3.0, ge=0, le=60)
    """Seconds for which it is believed where an instance lies; one that another process deleted
    is served that long."""

    block_cache_bytes: Annotated[ByteSize, AfterValidator(_cache_size)] = ByteSize(10 * GIB)
    """Disk for blocks of what is read from an object store, in bytes, for all processes together;
    0 keeps none. Taken as it fills, never the last GiB of the disk. A folder of blobs needs no
    such cache and has none."""
    block_cache: Folder | None = None
    """Folder of that cache, best on a fast disk of this machine. Unset: `block-cache` in the data
    folder."""

    # how slides are converted
    conversion_memory_bytes: ByteSize = Field(default=ByteSize(4 * GIB), ge=ByteSize(256 * MIB))
    """Memory that one conversion may take, in bytes; a hostile file ends there, not the machine."""
    conversion_seconds: int = Field(default=4 * 3600, ge=1)
    """Seconds that one conversion may take; 100 GB from a slow share take two hours."""
    conversions_at_once: int = Field(default=1, ge=1, le=64)
    """Slides that one worker converts at the same time; each uses more than one core."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is given: `archive.configuration.load` reads the sources one by one."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in {
            "postgresql",
            "postgres",
            "postgresql+psycopg",
        }:
            message = "must be of the form postgresql://user:password@host:5432/name"
            raise ValueError(message)
        return url

    @field_validator("blobs")
    @classmethod
    def _blobs(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if "://" in text:
            parse_s3_address(text)
            return text
        return str(_absolute(Path(text)))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _cors_origins(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip().rstrip("/") for part in given.split(",") if part.strip())
        return given

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _trusted_proxies(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("search_attributes", mode="before")
    @classmethod
    def _search_attributes(cls, given: object) -> object:
        names = given.split(",") if isinstance(given, str) else given
        if not isinstance(names, list | tuple):
            return given
        from archive.catalog.additions import site_attribute  # loads the data dictionary

        found = {
            site_attribute(str(name).strip()).name: str(name).strip() for name in names if name
        }
        return tuple(found.values())

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.blobs is not None and self.blobs.startswith("s3://"):
            names = ("s3_endpoint", "s3_access_key", "s3_secret_key")
            missing = [PREFIX + name.upper() for name in names if getattr(self, name) is None]
            if missing:
                message = f"the blobs are in {self.blobs}: set {', '.join(missing)} too"
                raise UnsafeSettings(message)
        return self

    def check_safe_to_serve(self) -> None:
        """Raise `UnsafeSettings` when anybody could reach the archive without saying who they are.

        Asked when something is about to listen; a conversion needs no such answer.
        """
        if self.auth is AuthMode.OPEN and not is_loopback(self.host):
            message = (
                f"listening on {self.host} lets everybody on the network read and store slides: "
                "set COVERSLIP_AUTH=required and make a token with `coverslip token create`, or "
                "listen on 127.0.0.1"
            )
            raise UnsafeSettings(message)

    @property
    def staging_folder(self) -> Path:
        """Scratch folder for what comes in."""
        return self.staging or self.data_dir / "staging"

    @property
    def postgres_folder(self) -> Path:
        """Folder of the embedded PostgreSQL."""
        return self.data_dir / "postgres"

    @property
    def blob_location(self) -> BlobLocation:
        """Where the blobs are."""
        if self.blobs is None:
            return FolderLocation(self.data_dir / "blobs", self.staging_folder)
        if not self.blobs.startswith("s3://"):
            return FolderLocation(Path(self.blobs), self.staging_folder)
        bucket, prefix = parse_s3_address(self.blobs)
        return ObjectLocation(
            endpoint=self.s3_endpoint or "",
            bucket=bucket,
            prefix=prefix,
            access_key=self.s3_access_key or "",
            secret_key=self.s3_secret_key.get_secret_value() if self.s3_secret_key else "",
            region=self.s3_region,
            cache=self.block_cache_location,
        )

    @property
    def block_cache_location(self) -> CacheLocation | None:
        """Where blocks of an object store's blobs are kept on this machine."""
        if self.block_cache_bytes == 0:
            return None
        folder = self.block_cache or self.data_dir / "block-cache"
        return CacheLocation(folder, int(self.block_cache_bytes))

    @property
    def local_url(self) -> str:
        """Address of the server as seen from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def environment(self) -> Mapping[str, str]:
        """Give what a child process needs in its environment to load these very settings.

        Secrets are in it: it is for child processes of the same user, and for nothing else.
        """
        given = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if isinstance(value, tuple):
                value = ",".join(value)
            if value is not None:
                given[PREFIX + name.upper()] = str(value)
        return given


def is_loopback(host: str) -> bool:
    """Tell whether `host` is reached from this machine only; an unknown name counts as no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
