"""Thumbnails (PS3.18 §10.4.1.1.4). Optional, but whoever has one has all."""

from collections.abc import Callable

from conformance.checks.bench import Bench, expect, expect_status
from conformance.checks.registry import Category, Skipped
from conformance.checks.rendered import opened
from conformance.checks.samples import Sample
from conformance.checks.service import Answer

thumbnails = Category("Thumbnails")

LEVELS: dict[str, Callable[[Sample], str]] = {
    "study": lambda one: one.study_path,
    "series": lambda one: one.series_path,
    "instance": lambda one: one.path,
    "frame": lambda one: one.frame_path(2),
}
_NOT_THERE = {404, 405, 501}


def _thumbnail(bench: Bench, path: str, query: str = "", accept: str = "image/jpeg") -> Answer:
    """Ask for a thumbnail, and follow a redirection."""
    answer = bench.get(path + "/thumbnail", accept, query=query)
    if answer.status in {302, 303, 307}:
        answer = bench.get(answer.header("location") or "", accept)
    return answer


def _required(bench: Bench) -> None:
    statuses = [_thumbnail(bench, of(bench.slide)).status for of in LEVELS.values()]
    if set(statuses) <= _NOT_THERE:
        raise Skipped("there are no thumbnails, and need not be")


def _at(path_of: Callable[[Sample], str]) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        _required(bench)
        answer = _thumbnail(bench, path_of(bench.slide))
        picture = opened(answer)
        expect(answer.content_type == "image/jpeg", f"it is {answer.content_type}")
        expect(getattr(picture, "n_frames", 1) == 1, "more than a single picture")

    return run


for _name, _path_of in LEVELS.items():
    thumbnails.add(
        f"of a {_name}", "PS3.18 Table 10.4.1-4", f"a {_name} has a thumbnail", _at(_path_of)
    )


@thumbnails.standard("PS3.18 §8.3.5.2", "a viewport bounds the thumbnail")
def viewport(bench: Bench) -> None:
    _required(bench)
    picture = opened(_thumbnail(bench, bench.slide.path, "viewport=20,20"))
    expect(max(picture.size) == 20, f"{picture.size} in a viewport of 20 x 20")


@thumbnails.standard("PS3.18 §8.3.5.1.3", "400 for a viewport with more than width and height")
def viewport_with_a_region(bench: Bench) -> None:
    _required(bench)
    expect_status(_thumbnail(bench, bench.slide.path, "viewport=20,20,0,0,5,5"), 400)


@thumbnails.standard("PS3.18 §8.3.5.1.3", "400 for a viewport that is none")
def viewport_that_is_none(bench: Bench) -> None:
    _required(bench)
    for query in ("viewport=0,0", "viewport=a,b", "viewport=20"):
        expect_status(_thumbnail(bench, bench.slide.path, query), 400)


@thumbnails.standard("PS3.18 Table 8.7.4-1", "a thumbnail is to be had as PNG, too")
def as_png(bench: Bench) -> None:
    _required(bench)
    answer = _thumbnail(bench, bench.slide.path, accept="image/png")
    expect(opened(answer).format == "PNG", "the body is no PNG")


@thumbnails.standard("PS3.18 §10.4.3.1", "404 for what there is not")
def unknown(bench: Bench) -> None:
    _required(bench)
    expect_status(_thumbnail(bench, f"/studies/{bench.maker.uid('nothing')}"), 404)
