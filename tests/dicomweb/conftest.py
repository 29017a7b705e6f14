"""Fixtures of the HTTP face's tests."""

from tests.support.http import client, live  # noqa: F401 - fixtures
