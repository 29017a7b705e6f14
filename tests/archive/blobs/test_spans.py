from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archive.blobs.spans import MAXIMUM_RUN_BYTES, merge, read_merged
from archive.model.frames import ByteSpan

any_spans = st.lists(st.builds(ByteSpan, st.integers(0, 2**33), st.integers(0, 2**21)), max_size=30)


def test_neighbours_are_read_at_once() -> None:
    runs = merge([ByteSpan(0, 10), ByteSpan(18, 10), ByteSpan(100, 5)], maximum_gap_bytes=8)
    assert [run.span for run in runs] == [ByteSpan(0, 28), ByteSpan(100, 5)]


def test_a_span_inside_another_costs_no_read() -> None:
    runs = merge([ByteSpan(0, 100), ByteSpan(10, 5)], maximum_gap_bytes=0)
    assert [run.span for run in runs] == [ByteSpan(0, 100)]


def test_nothing_wanted_is_nothing_read() -> None:
    assert merge([], maximum_gap_bytes=8) == []


def test_a_run_does_not_grow_past_its_limit() -> None:
    half = MAXIMUM_RUN_BYTES // 2
    runs = merge([ByteSpan(n * half, half) for n in range(5)], maximum_gap_bytes=0)
    assert [run.span.length for run in runs] == [2 * half, 2 * half, half]


def test_a_single_span_is_never_split() -> None:
    span = ByteSpan(7, 5 * MAXIMUM_RUN_BYTES)
    assert [run.span for run in merge([span], maximum_gap_bytes=0)] == [span]


@given(wanted=any_spans, gap=st.integers(0, 2**20))
def test_runs_cover_what_is_wanted_once_each(wanted: list[ByteSpan], gap: int) -> None:
    runs = merge(wanted, maximum_gap_bytes=gap)
    assert sorted(index for run in runs for index in run.wanted) == list(range(len(wanted)))
    for run in runs:
        for index in run.wanted:
            assert run.span.offset <= wanted[index].offset
            assert wanted[index].end <= run.span.end
        assert len(run.wanted) == 1 or run.span.length <= MAXIMUM_RUN_BYTES
    offsets = [run.span.offset for run in runs]
    assert offsets == sorted(offsets)


@given(wanted=st.lists(st.builds(ByteSpan, st.integers(0, 900), st.integers(0, 99)), max_size=9))
def test_merged_reads_give_what_single_reads_would(wanted: list[ByteSpan]) -> None:
    content = bytes(number % 251 for number in range(1000))
    found = read_merged(wanted, lambda s: content[s.offset : s.end], maximum_gap_bytes=20)
    assert found == [content[span.offset : span.end] for span in wanted]
