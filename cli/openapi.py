"""`coverslip openapi`: the HTTP interface as a document."""

import json

import typer

from cli.options import settings_of


def openapi() -> None:
    """Print the OpenAPI description of the HTTP interface. Nothing is started.

    For example:

      coverslip openapi > openapi.json
    """
    from dicomweb.app import create_app

    typer.echo(json.dumps(create_app(settings_of()).openapi(), indent=2))
