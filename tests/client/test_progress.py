"""Progress: counted by several threads, reported by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from stac_client import Progress
from stac_client._results import Reporter, Tally

SIZES = st.integers(0, 1000)
STEPS = st.lists(st.tuples(st.sampled_from(["announce", "reached"]), SIZES), max_size=6)


def test_a_file_of_known_size():
    """A file counts from the beginning, and its bytes as they come."""
    tally = Tally()
    file = tally.expect(10)
    assert tally.progress() == Progress(0, 1, 0, 10)
    file.reached(4)
    assert tally.progress() == Progress(0, 1, 4, 10)
    file.done(there=True)
    assert tally.progress() == Progress(1, 1, 10, 10)


def test_a_file_of_unknown_size():
    """The bytes of a file that is larger than expected, or was not, are counted too."""
    tally = Tally()
    file = tally.expect()
    file.announce(5)
    file.reached(8)
    assert tally.progress() == Progress(0, 1, 8, 8)
    file.done(there=True)
    assert tally.progress() == Progress(1, 1, 8, 8)


def test_a_file_that_failed():
    """What fails is done, its bytes count no more, and it is done but once."""
    tally = Tally()
    tally.expect(7).done(there=True)
    file = tally.expect(10)
    file.reached(4)
    file.done(there=False)
    file.done(there=True)
    assert tally.progress() == Progress(2, 2, 7, 7)


@given(st.lists(st.tuples(SIZES, STEPS, st.booleans()), max_size=8))
def test_it_never_exceeds_its_totals(files):
    """Whatever order things come in, what is done is never more than all."""
    tally = Tally()
    for size, steps, there in files:
        file = tally.expect(size)
        for step, value in steps:
            reached = tally.progress().bytes_done
            getattr(file, step)(max(value, reached) if step == "announce" else value)
            progress = tally.progress()
            assert progress.bytes_done <= progress.bytes_total
        file.done(there=there)
    progress = tally.progress()
    assert progress.files_done == progress.files_total == len(files)
    assert progress.bytes_done == progress.bytes_total >= 0


def test_several_threads():
    """No count is lost where several threads count."""
    tally = Tally()

    def count(_):
        file = tally.expect(100)
        for size in range(101):
            file.reached(size)
        file.done(there=True)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(count, range(200)))
    assert tally.progress() == Progress(200, 200, 20_000, 20_000)


def test_reports():
    """A report is made only of what has changed."""
    tally, reports = Tally(), []
    reporter = Reporter(tally, reports.append)
    reporter.report()
    reporter.report()
    tally.expect(1).done(there=True)
    reporter.report()
    assert reports == [Progress(0, 0, 0, 0), Progress(1, 1, 1, 1)]
