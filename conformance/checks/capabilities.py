"""The Retrieve Capabilities transaction (PS3.18 §8.9), and OPTIONS."""

from xml.etree import ElementTree

from conformance.checks.bench import Bench, expect, expect_status, expect_type
from conformance.checks.registry import Category, Failed, Skipped
from conformance.checks.service import Answer

capabilities = Category("Capabilities")

WADL = "application/vnd.sun.wadl+xml"


def _options(bench: Bench, accept: str) -> Answer:
    answer = bench.service.send("OPTIONS", "/", {"Accept": accept})
    if answer.status in {404, 405} or not answer.body:
        answer = bench.service.send("OPTIONS", "", {"Accept": accept})
    return answer


@capabilities.standard("PS3.18 §8.9.1", "OPTIONS on the base URL answers with a description")
def description(bench: Bench) -> None:
    answer = _options(bench, "*/*")
    expect_status(answer, 200)
    expect(answer.body, "no body")
    expect_type(answer, WADL, "application/json")


def _described(bench: Bench, accept: str) -> Answer:
    """Give the description; its forms are not looked at where there is none at all."""
    answer = _options(bench, accept)
    if answer.status >= 400 and _options(bench, "*/*").status >= 400:
        raise Skipped("there is no description, as “capabilities.description” says")
    expect_status(answer, 200)
    return answer


@capabilities.standard("PS3.18 §8.9.4", f"the description is to be had as {WADL}")
def wadl(bench: Bench) -> None:
    answer = _described(bench, WADL)
    expect_type(answer, WADL)
    try:
        root = ElementTree.fromstring(answer.body)  # noqa: S314 - only a check's process would suffer
    except ElementTree.ParseError as error:
        raise Failed(f"no XML: {error}") from error
    expect(root.tag.endswith("}application"), f"the root is {root.tag}")


@capabilities.standard("PS3.18 §8.9.4", "the description is to be had as application/json")
def json_description(bench: Bench) -> None:
    answer = _described(bench, "application/json")
    expect_type(answer, "application/json")
    answer.json()


@capabilities.standard(
    "PS3.18 §8.9.2, Annex H", "the description names the resources of the service"
)
def resources(bench: Bench) -> None:
    text = _described(bench, WADL).body.decode("utf-8", "replace")
    for word in ("studies", "series", "instances", "frames", "metadata", "rendered"):
        expect(word in text, f"nothing about {word}")


@capabilities.standard("PS3.18 §8.9.2, Annex H", "the description names methods and media types")
def methods(bench: Bench) -> None:
    text = _described(bench, WADL).body.decode("utf-8", "replace")
    for word in ("GET", "POST", "application/dicom+json", "application/dicom"):
        expect(word in text, f"nothing about {word}")


@capabilities.standard("RFC 9110 §9.3.7", "OPTIONS on a resource allows what it can")
def allow(bench: Bench) -> None:
    for path, methods in (
        ("/studies", {"GET", "POST"}),
        (bench.slide.path + "/metadata", {"GET"}),
        (bench.slide.frame_path(1), {"GET"}),
    ):
        answer = bench.service.send("OPTIONS", path, {})
        expect_status(answer, 200, 204)
        allowed = {word.strip() for word in (answer.header("allow") or "").split(",")}
        expect(methods <= allowed, f"{path} allows {sorted(allowed - {''}) or 'nothing'}")
