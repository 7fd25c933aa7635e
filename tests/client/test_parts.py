"""Parts of files: what is digested is what is on the disk, whoever wrote it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client._parts import Part

from .downloading import adler32

URL = "https://data.example.org/x.tif"
PIECES = st.lists(st.binary(max_size=9), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["anew", "on", "another run", "another file"]), PIECES)))
def test_what_is_there_is_digested(steps: list[tuple[str, list[bytes]]]) -> None:
    """Begun anew, gone on with, left by another run, or given as a file: the digest is of it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "x.tif"
        part, there = Part(target), b""
        for kind, pieces in [("anew", []), *steps]:
            if kind == "another run":
                part = Part(target)
            if kind == "another file":
                other = target.with_name("other")
                other.write_bytes(b"other")
                part.take(other)
                there = b"other"
            if kind == "anew":
                part.restart(URL, '"1"')
                there = b""
            for piece in pieces:
                part.write(piece)
            part.close()
            there += b"".join(pieces)
            assert part.path.read_bytes() == there
            assert part.digested(Event()).checksums().adler32 == adler32(there)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_note(tmp_path: Path, pieces: int) -> None:
    """What is more than one piece can be gone on with."""
    part = Part(tmp_path / "x.tif")
    part.restart(URL, '"1"')
    for _ in range(pieces):
        part.write(b"piece")
    part.close()
    assert Part(part.target).begun(URL) == ((10, '"1"') if pieces == 2 else (0, None))
