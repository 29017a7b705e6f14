"""`coverslip token`: make, list and revoke API tokens."""

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from auth import ROLES, Permission, Policy, Principal
from cli.errors import Misuse
from cli.options import DataDir, settings_of

if TYPE_CHECKING:
    from auth.tokens import Token, Tokens

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help=(
        "Make, list and revoke API tokens.\n\n"
        "With COVERSLIP_AUTH=required every request carries a token: [bold]Authorization: Bearer "
        "cvs_…[/bold]. A token has a name, a role and a day on which it ends. Roles: "
        + "; ".join(f"[bold]{name}[/bold]: {', '.join(sorted(r))}" for name, r in ROLES.items())
        + "."
    ),
)

_LIFE = re.compile(r"([1-9][0-9]{0,3})\s*(h|d|w|y)")
_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as scanner-3.")],
    role: Annotated[
        str, typer.Option("--role", help=f"One of {', '.join(ROLES)}.", show_default=True)
    ] = "reader",
    expires: Annotated[
        str,
        typer.Option(
            "--expires", help="How long it works: 12h, 90d, 8w, 1y, or never.", show_default=True
        ),
    ] = "1y",
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it. It is shown this once: only its hash is kept.

    For example:

      coverslip token create viewer

      coverslip token create scanner-3 --role contributor --expires 90d

      TOKEN=$(coverslip token create script --expires 1h)
    """
    expires_at = _end(expires, datetime.now(UTC))
    with _tokens(data_dir) as tokens:
        token, secret = tokens.create(name, role, by=Principal.operator(), expires_at=expires_at)
    until = token.expires_at.isoformat(timespec="minutes") if token.expires_at else "for ever"
    # The secret alone on standard output, so that it can be caught in a variable.
    typer.echo(f"Token {token.name!r}, role {token.role}, works until: {until}", err=True)
    typer.echo(secret)


@app.command("list")
def list_tokens(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List every token that was ever made, without its secret.

    For example:

      coverslip token list
    """
    with _tokens(data_dir) as tokens:
        found = tokens.list_all()
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps([_document(token, now) for token in found], indent=2))
        return
    if not found:
        typer.echo("There are no tokens. Make one: coverslip token create NAME", err=True)
    for token in found:
        typer.echo(f"{token.id}  {token.name:24}  {token.role:12}  {_state(token, now)}")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Name or identifier of the token.")],
    data_dir: DataDir = None,
) -> None:
    """Make a token stop working, everywhere within a few seconds (COVERSLIP_TOKEN_CACHE_SECONDS).

    For example:

      coverslip token revoke scanner-3
    """
    with _tokens(data_dir) as tokens:
        token = tokens.revoke(name)
    typer.echo(f"Token {token.name!r} is revoked.", err=True)


@contextlib.contextmanager
def _tokens(data_dir: object) -> Iterator["Tokens"]:
    """Open the tokens of the archive; the operator of the machine may manage them."""
    from archive.archive import SCHEMA_STEPS
    from archive.catalog.database import open_database
    from auth.tokens import Tokens

    Policy().require(Principal.operator(), Permission.TOKENS_MANAGE)
    with open_database(settings_of(data_dir=data_dir)) as database:
        database.prepare(steps=SCHEMA_STEPS)
        yield Tokens(database.sessions)


def _end(text: str, now: datetime) -> datetime | None:
    """Turn `90d` into a moment, `never` into None; raises `Misuse`."""
    if text == "never":
        return None
    found = _LIFE.fullmatch(text)
    if found is None:
        message = f"--expires {text!r} is not understood: give 12h, 90d, 8w, 1y or never"
        raise Misuse(message)
    return now + int(found[1]) * _UNITS[found[2]]


def _state(token: "Token", now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at.date()}"
    if token.expires_at is None:
        return "works, for ever"
    return f"{'works until' if token.works(now) else 'expired'} {token.expires_at.date()}"


def _document(token: "Token", now: datetime) -> dict[str, object]:
    return {
        "id": str(token.id),
        "name": token.name,
        "role": token.role,
        "works": token.works(now),
        "created_at": token.created_at.isoformat(),
        "created_by": token.created_by,
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }
