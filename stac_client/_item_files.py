"""What files, streams and URLs of items hold, value by value, so that no file is held whole.

What they hold is told by their content, not by their names: JSON, NDJSON, stac-geoparquet, each
perhaps compressed by gzip or zstd.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import tempfile
import zlib
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from stac_client.errors import ConfigurationError, RequestError, said_by
from stac_policy.bodies import BYTES_A_VALUE, Incoming, values_in
from stac_policy.http import FetchError, make_session
from stac_policy.urls import is_url, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stac_client._partition import Partition

_PIECE_BYTES = 1 << 20
_WINDOW = 1 << 20
"""Characters of a document that is looked at as a whole; of a longer one, the items come singly."""
_MOST = 64 << 20
"""Characters of an item, or without an item."""
_DEEPEST = 3
"""Lists of items that are in each other."""
_MISSES = 100
_GZIP, _PARQUET, _ZSTD = b"\x1f\x8b", b"PAR1", b"\x28\xb5\x2f\xfd"
_SPACE = re.compile(r"[ \t\n\r]*")
_AFTER = re.compile(r"[ \t\n\r,\]}]")
_SEAM = re.compile(r'[ \t\n\r]{,200},[ \t\n\r]{,200}\{[ \t\n\r]{,200}"[^"\\]{,50}"')
_NONE: Any = object()


class Value(NamedTuple):
    """A value of a stream."""

    value: Any
    line: int
    """The line that it begins in, from 1."""
    last_line: int
    """The one that it ends in."""
    is_member: bool = False
    """Whether it is one of the items of a document that was too long to be held."""
    is_taken: bool = False
    """Whether the values are those of the wanted part alone."""


@contextmanager
def opened(place: str | Path) -> Iterator[Iterable[bytes]]:
    """Open a file or URL.

    Of HTTP nothing is asked without the guards of `stac_policy.http`; what has another scheme, such
    as `s3`, is for fsspec, which needs what knows that scheme, or obstore.

    Raises:
        ConfigurationError: It needs what is not installed.
        RequestError: Its storage does not give it.
        OSError: It cannot be read.
    """
    if isinstance(place, str) and is_url(place):
        yield _fetched(place)
    elif isinstance(place, str) and "://" in place:
        with _by_fsspec(place) as stream:
            yield stream
    else:
        with Path(place).open("rb", buffering=_PIECE_BYTES) as file:
            yield file


def _fetched(url: str) -> Iterator[bytes]:
    came = False

    def begin(_: object) -> None:
        if came:
            raise FetchError("it broke off, and its server cannot continue it")

    with make_session() as session:
        # As long as registering the items takes; without items it soon ends by itself.
        for piece in Incoming(session, url, begin, is_stream=True):
            came = True
            yield piece


def _by_fsspec(url: str) -> Any:
    scheme, name = url.partition("://")[0], redact(url)
    try:
        import fsspec
    except ModuleNotFoundError as error:
        said = f"{name}: reading it needs pip install 'stac-rucio[fsspec]'"
        raise ConfigurationError(said) from error
    try:
        try:
            return fsspec.open(url, "rb").open()
        except ImportError:  # s3fs, say, is not there
            from obstore.fsspec import FsspecStore

            storage = FsspecStore(scheme)  # type: ignore[call-overload] # or it raises
            storage.info(url)  # what cannot be opened fails once more when it is collected
            return storage.open(url, "rb")
    except ImportError as error:
        said = f"{name}: reading it needs obstore, or what fsspec has for {scheme}://"
        raise ConfigurationError(said) from error
    except Exception as error:  # each storage has its own
        parts, said = urlsplit(url), said_by(error)
        if any(part and part in said for part in (parts.netloc.rpartition("@")[0], parts.query)):
            said = type(error).__name__  # as what it says may hold a password
        raise RequestError(f"{name} cannot be opened: {said}") from error


def read_values(stream: Iterable[Any], name: str, part: Partition) -> Iterator[Value]:
    """Yield the values of a stream, none of which is held once the next one is asked for.

    Of a long document that holds items, as `features` or as a list, each of these is a value.

    Args:
        stream: A binary file or stream, one of text, or pieces of bytes of any length.
        name: What to call it in errors.
        part: Of stac-geoparquet with as many row groups as parts, or more, others are not read.

    Raises:
        ConfigurationError: It holds neither JSON nor stac-geoparquet.
        FetchError: Its server does not give it.
    """
    pieces = _pieces(stream)
    head = b""
    while len(head) < len(_PARQUET) and (piece := next(pieces, b"")):
        head += piece
    whole = chain([head], pieces)
    if head.startswith((_GZIP, _ZSTD)):
        yield from read_values(_unpacked(whole, name, head), name, part)
    elif head.startswith(_PARQUET):
        yield from _geoparquet(stream, whole, name, part)
    else:
        yield from _Text(whole, name)


def _pieces(stream: Iterable[Any]) -> Iterator[bytes]:
    if isinstance(stream, io.TextIOBase):
        yield from map(str.encode, iter(lambda: stream.read(_PIECE_BYTES), ""))
    elif hasattr(stream, "read"):
        # What has come is read without waiting for more.
        read = getattr(stream, "read1", stream.read)
        yield from iter(lambda: read(_PIECE_BYTES), b"")
    else:
        yield from stream


class _Pieces(io.RawIOBase):
    """A file that is read once, from its pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        piece, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _unpacked(pieces: Iterator[bytes], name: str, head: bytes) -> Iterator[bytes]:
    file = io.BufferedReader(_Pieces(pieces), _PIECE_BYTES)
    wrong: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    unpacking: Any
    if head.startswith(_GZIP):
        unpacking = gzip.GzipFile(fileobj=file)
    else:
        zstd = _zstd(name)
        wrong, unpacking = (EOFError, zstd.ZstdError), zstd.ZstdFile(file)
    try:
        yield from _pieces(unpacking)
    except wrong as error:
        raise ConfigurationError(
            f"{name}: what is compressed in it is damaged ({error})"
        ) from error


def _zstd(name: str) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore] # Python 3.14
    except ModuleNotFoundError:
        try:
            from backports import zstd
        except ModuleNotFoundError as error:
            said = f"{name}: reading zstd needs pip install 'stac-rucio[zstd]'"
            raise ConfigurationError(said) from error
    return zstd


class _Text:
    """The values in a text that comes in pieces.

    A value is read by orjson where its end is known, as those of a line are, or those of a list
    whose items are divided alike; and otherwise by json, at half the speed, which finds the end.
    """

    def __init__(self, pieces: Iterator[bytes], name: str) -> None:
        from orjson import loads

        self._loads, self._scan = loads, json.JSONDecoder().raw_decode
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogatepass")
        self._decode, self._pieces, self._name = decoder.decode, pieces, name
        self._text, self._at = "", 0
        self._is_end = False
        self._line, self._counted = 1, 0
        self._since_item = 0

    def __iter__(self) -> Iterator[Value]:
        """Yield the values, one after the other."""
        misses = 0  # lines that are no value, as each value of a long one would be looked at again
        while self._peek():
            line = self._count_lines()
            value = self._quick(self._end_of_line()) if misses < _MISSES else _NONE
            if value is _NONE:
                misses += 1
                yield from self._read(0)
            else:
                yield Value(value, line, line)
            self._since_item = -self._at

    def _read(self, depth: int) -> Iterator[Value]:
        """The value that begins here, or the items in it if it is long."""
        line, begin = self._count_lines(), self._text[self._at : self._at + 1]
        holds_items = begin in {"[", "{"} and depth < _DEEPEST
        value = self._value(_WINDOW if holds_items else _MOST, may_be_longer=holds_items)
        if value is not _NONE:
            yield Value(value, line, self._count_lines(), depth > 0)
        elif begin == "[":
            yield from self._members(depth + 1)
        else:
            yield from self._document(depth, line)

    def _document(self, depth: int, line: int) -> Iterator[Value]:
        """A long document, or its features."""
        self._at += 1
        fields: dict[str, Any] = {}
        has_features = False
        goes_on = not self._skip("}")
        while goes_on:
            if self._peek() != '"':
                raise self._wrong("a name of a field is missing")
            key = self._value(_MOST)
            if not self._skip(":"):
                raise self._wrong("a colon is missing")
            if key == "features" and self._peek() == "[":
                has_features = True
                yield from self._members(depth + 1)
            else:
                fields[key] = self._value(_MOST)
            goes_on = self._goes_on("}")
        if not has_features:
            yield Value(fields, line, self._count_lines(), depth > 0)

    def _members(self, depth: int) -> Iterator[Value]:
        """The members of a list."""
        self._at += 1
        seam, misses = "", 0
        goes_on = not self._skip("]")
        while goes_on:
            value = self._quick(self._find(seam)) if seam else _NONE
            if value is not _NONE:
                yield Value(value, 0, 0, is_member=True)
            else:
                self._peek()
                misses += bool(seam)
                yield from self._read(depth)
            self._since_item = -self._at
            found = _SEAM.match(self._text, self._at) if misses < _MISSES else None
            seam = found[0] if found else "" if misses >= _MISSES else seam
            goes_on = self._goes_on("]")

    def _find(self, seam: str) -> int:
        """Return where the value that begins here ends, if it ends as the one before it, or -1."""
        found = self._text.find(seam, self._at)
        if found < 0 and len(self._text) - self._at < _WINDOW and self._fill(_WINDOW):
            found = self._text.find(seam, self._at)
        return found

    def _end_of_line(self) -> int:
        """Return where the line ends, or -1 of a long one."""
        self._fill(_WINDOW, until="\n")
        found = self._text.find("\n", self._at)
        return len(self._text) if found < 0 and self._is_end else found

    def _quick(self, end: int) -> Any:
        """Return the value that begins here and ends before a place, if it does."""
        if end < 0:
            return _NONE
        try:
            value = self._loads(self._text[self._at : end])
        except ValueError:
            return _NONE
        self._at = end
        return value

    def _value(self, most: int, *, may_be_longer: bool = False) -> Any:
        """Return the value that begins here.

        Args:
            most: How long it may be, about, in characters.
            may_be_longer: Whether to return _NONE if it is longer.

        Raises:
            ConfigurationError: There is none.
        """
        self._peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except RecursionError as error:
                raise ConfigurationError(f"{self._where()}: nested too deeply") from error
            except json.JSONDecodeError as error:
                problem = error.msg
            except ValueError as error:  # a number of more digits than Python reads
                raise self._wrong(str(error)) from error
            else:
                # A number may go on in the next piece.
                if self._text[end - 1] in '"]}' or _AFTER.match(self._text, end) or self._is_end:
                    self._at = end
                    return value
                problem = "a value that does not end"
            there = len(self._text) - self._at
            if there >= most and may_be_longer:
                return _NONE
            if there >= most:
                raise self._wrong(f"no value ends within {most:,} characters")
            if not self._fill(max(2 * there, _WINDOW)):
                raise self._wrong(problem)

    def _skip(self, mark: str) -> bool:
        if self._peek() != mark:
            return False
        self._at += 1
        return True

    def _goes_on(self, end: str) -> bool:
        """Go on behind a value, where there is a comma, or behind the end."""
        if self._skip(","):
            return True
        if self._skip(end):
            return False
        raise self._wrong(f"neither a comma nor {end}")

    def _peek(self) -> str:
        """Return the next character that is no space; nothing at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(1):
                return ""

    def _fill(self, least: int, until: str = "") -> bool:
        """Read on until there is so much from here on, or a character; return whether more came."""
        there = len(self._text) - self._at
        if there >= least or self._is_end or (until and self._text.find(until, self._at) >= 0):
            return False
        self._count_lines()
        self._since_item += self._at
        if self._since_item > _MOST:
            raise self._wrong(f"{_MOST:,} characters without an item")
        parts = [self._text[self._at :]]
        while there < least and not self._is_end:
            piece = next(self._pieces, b"")
            self._is_end = not piece
            try:
                parts.append(self._decode(piece, self._is_end))
            except UnicodeError as error:
                raise self._wrong(getattr(error, "reason", str(error))) from error
            there += len(parts[-1])
            if until and until in parts[-1]:
                break
        self._text, self._at, self._counted = "".join(parts), 0, 0
        most_values = max(there, _MOST) // BYTES_A_VALUE
        if there > most_values and values_in(self._text.encode(errors="replace")) > most_values:
            raise self._wrong(f"more than {most_values:,} values")
        return len(parts[0]) < there

    def _count_lines(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _where(self) -> str:
        line = self._count_lines()
        return self._name if line == 1 else f"{self._name}, line {line}"

    def _wrong(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where()}: neither JSON nor stac-geoparquet ({problem})")


def _geoparquet(
    stream: Any, pieces: Iterator[bytes], name: str, part: Partition
) -> Iterator[Value]:
    try:
        import pyarrow.parquet
        from stac_geoparquet.arrow import stac_table_to_items
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name}: reading stac-geoparquet needs pip install 'stac-rucio[geoparquet]'"
        ) from error
    with tempfile.TemporaryFile(prefix="stac-rucio-") as copied:
        if isinstance(stream, io.IOBase) and stream.seekable():
            source: Any = stream
        else:  # its table of contents is at its end
            copied.writelines(pieces)
            source = copied
        try:
            with pyarrow.parquet.ParquetFile(source) as file:
                groups = part.numbers(file.num_row_groups) if part else None
                taken = groups is not None
                for batch in file.iter_batches(row_groups=groups):
                    for item in stac_table_to_items(pyarrow.Table.from_batches([batch])):
                        yield Value(dict(item), 0, 0, is_member=True, is_taken=taken)
        except (pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{name}: not stac-geoparquet") from error
