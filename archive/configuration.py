"""Settings as the person at the machine gave them: read, layered, and each with its origin.

Flag over environment over `.env` over a TOML file over the default. An unknown name fails, since
a misspelt limit that is silently ignored is worse than a server that does not start.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from archive.errors import MalformedSettings
from archive.settings import PREFIX, Settings

CONFIG_NAME = f"{PREFIX}CONFIG"
"""Environment variable that names the TOML file; `coverslip.toml` in the working folder else."""

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Field → `flag`, `environment`, a file's path, or `default`."""

    def described(self) -> list[tuple[str, str, str]]:
        """Give (environment name, value, origin) of every setting, with secrets masked."""
        return [
            (PREFIX + name.upper(), _masked(getattr(self.settings, name)), self.origins[name])
            for name in Settings.model_fields
        ]


def load(
    flags: Mapping[str, object] | None = None, *, folder: Path | None = None
) -> LoadedSettings:
    """Read the settings.

    Parameters
    ----------
    flags
        Field → value, as given on the command line; None values are flags that were not given.
    folder
        Where `.env` and `coverslip.toml` are looked for; the working folder when left out.

    Raises
    ------
    MalformedSettings
        For an unknown name or a value that cannot be, with where it stands.
    UnsafeSettings
        For values that do not go together.
    """
    folder = folder or Path.cwd()
    layers = [
        _toml(folder),
        _dot_env(folder / ".env"),
        _environment(),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    for origin, layer in layers:
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _malformed(error, origins) from error
    return LoadedSettings(settings, MappingProxyType(origins))


def _environment() -> tuple[str, dict[str, Any]]:
    """Read the environment."""
    _refuse_unknown(os.environ, "environment")
    return "environment", EnvSettingsSource(Settings)()


def _dot_env(path: Path) -> tuple[str, dict[str, Any]]:
    """Read `.env`; names without our prefix are somebody else's."""
    if not path.is_file():
        return str(path), {}
    source = DotEnvSettingsSource(Settings, env_file=path, env_file_encoding="utf-8")
    _refuse_unknown(source.env_vars, str(path))
    return str(path), {k: v for k, v in source().items() if k in Settings.model_fields}


def _toml(folder: Path) -> tuple[str, dict[str, Any]]:
    """Read the TOML file, whose keys are the names in lower case without the prefix."""
    named = os.environ.get(CONFIG_NAME)
    path = Path(named) if named else folder / "coverslip.toml"
    if not path.is_file():
        if named:
            message = f"{CONFIG_NAME} names {path}, which is no file"
            raise MalformedSettings(message)
        return str(path), {}
    try:
        values = TomlConfigSettingsSource(Settings, toml_file=path)()
    except (OSError, ValueError) as error:  # TOMLDecodeError is a ValueError
        message = f"{path} cannot be read: {error}"
        raise MalformedSettings(message) from error
    _refuse_unknown((PREFIX + key for key in values), str(path))
    return str(path), values


def _refuse_unknown(names: Iterable[str], origin: str) -> None:
    """Raise when a name with our prefix is none of ours, with the nearest that is."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG_NAME}
    for name in names:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known:
            near = difflib.get_close_matches(upper, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"unknown setting {upper} ({origin}){hint} `coverslip settings` lists all"
            raise MalformedSettings(message)


def _malformed(error: ValidationError, origins: Mapping[str, str]) -> MalformedSettings:
    """Put what pydantic found into one line a setting; values are left out, they may be secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{PREFIX}{name.upper()} ({origins.get(name, DEFAULT)}): {what}")
    return MalformedSettings("; ".join(lines))


def _masked(value: object) -> str:
    """Show a value; of a secret only that it is set, of a database address all but the password."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    if not isinstance(value, SecretStr):
        return str(value)
    parts = urlsplit(value.get_secret_value())
    if not parts.hostname:
        return "********"
    login = f"{parts.username}:********@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{login}{parts.hostname}{port}", parts.path, "", ""))
