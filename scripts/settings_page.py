"""Write docs/settings.md from the settings themselves: `python -m scripts.settings_page`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from pydantic import ByteSize

from archive.configuration import CONFIG_NAME
from archive.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

_HEAD = f"""# Settings

<!-- Written by scripts/settings_page.py; a test compares. -->

Every setting has a name in the environment, such as `{PREFIX}PORT`. The first of these that gives
it a value wins:

1. a flag of the command, `--port 9000`;
2. the environment, `{PREFIX}PORT=9000`;
3. a file `.env` in the working folder, with the same names;
4. a TOML file, `coverslip.toml` in the working folder or the one that `{CONFIG_NAME}` names, with
   the names in lower case and without the prefix: `port = 9000`;
5. the default.

`coverslip settings` lists every value and where it came from, with secrets masked. A name that does
not exist is an error: a misspelt limit that is silently ignored would be worse.

| setting | default | |
|---|---|---|
"""


def page() -> str:
    """Give the whole page as Markdown."""
    return _HEAD + "".join(
        f"| `{PREFIX}{name.upper()}` | {_default(name)} | {_description(name)} |\n"
        for name in Settings.model_fields
    )


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    value = field.default
    if value is None or value == ():
        return ""
    if field.annotation is ByteSize or ByteSize in get_args(field.annotation):
        return f"`{ByteSize(value).human_readable(separator='').replace('.0', '')}`"
    return f"`{value}`"


def _description(name: str) -> str:
    return " ".join((Settings.model_fields[name].description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
