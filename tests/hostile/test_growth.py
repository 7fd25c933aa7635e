"""Text from outside takes time in proportion to its length: every regular expression, and more.

An expression that takes quadratic time lets whoever writes a URL, a header or a name hold
a server's interpreter lock. The expressions are collected from the source, so that a new one is
tried without being named here.
"""

from __future__ import annotations

import ast
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import RucioException

from stac_policy.access import origins
from stac_policy.naming import asset_name, escape, split_name
from stac_policy.scope import scope
from stac_policy.settings import parse
from stac_policy.urls import absolute, mask, printable, redact, refusal
from tests.policy.support import configured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("stac_policy", "stac_client", "stac_rucio")
METHODS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub")
SHORT, LONG = 200, 2000
FACTOR = 4
PASSES_S = 1e-3  # what 2,000 characters take at most, if it is far from quadratic

PIECES = [
    *["a", "A", "0", " ", ":", "/", "//", "@", ".", "-", "-.", "\\", '"', "'", ",", ";", "?"],
    *["=", "&", "<", ">", "%", "#", "(", ")", "[", "\n", "\x1b", "é", "://", "a:", "a=", "x@"],
]


SEPARATORS = ["a", ":", "@", "/", " ", "=", "?", "'"]


@dataclass(frozen=True)
class Expression:
    """A regular expression, and how it is used."""

    where: str
    pattern: re.Pattern[str]
    methods: tuple[str, ...]


def expressions_in(path: Path) -> Iterator[Expression]:
    """Collect the regular expressions of a source file."""
    text = path.read_text()
    if "import re\n" not in text:
        return
    tree = ast.parse(text)
    parents: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):
        parents |= dict.fromkeys(ast.iter_child_nodes(node), node)
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and is_of_re(call.func)):
            continue
        if isinstance(call.args[0], ast.Call):  # an expression of Rucio's configuration
            continue
        pattern = re.compile(*(evaluated(argument) for argument in arguments_of(call)))
        assert isinstance(call.func, ast.Attribute)
        used = {call.func.attr}
        if used == {"compile"}:
            assignment = parents[call]
            assert isinstance(assignment, ast.Assign)
            name = ast.unparse(assignment.targets[0])
            used = {
                each.attr
                for each in ast.walk(tree)
                if isinstance(each, ast.Attribute) and ast.unparse(each.value) == name
            }
        methods = tuple(method for method in METHODS if method in used)
        yield Expression(f"{path.relative_to(ROOT)}:{call.lineno}", pattern, methods or METHODS)


def is_of_re(function: ast.expr) -> bool:
    """Whether a function that is called is one of `re`'s that takes a pattern."""
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in {"compile", *METHODS}
    )


def arguments_of(call: ast.Call) -> list[ast.expr]:
    """The pattern of a call, and the flags if it compiles it."""
    assert isinstance(call.func, ast.Attribute)
    return call.args if call.func.attr == "compile" else call.args[:1]


def evaluated(node: ast.expr) -> Any:
    """The value of an argument; what is put into a pattern stands for itself."""
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr):
            each.values = [
                value if isinstance(value, ast.Constant) else ast.Constant("x")
                for value in each.values
            ]
    return eval(ast.unparse(node), {"re": re})  # noqa: S307 - our own source


EXPRESSIONS = [
    expression
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for expression in expressions_in(path)
]


def run(pattern: re.Pattern[str], method: Any, text: Any) -> None:
    """Use a pattern as the source does."""
    if method == "sub":
        pattern.sub(text[:0], text)
    elif method == "finditer":
        list(pattern.finditer(text))
    else:
        getattr(pattern, method)(text)


def seconds(function: Any, text: Any, times: int = 3) -> float:
    """The least time in seconds that this thread itself works, of several times."""
    taken = []
    for _ in range(times):
        began = time.thread_time()
        function(text)
        taken.append(time.thread_time() - began)
    return min(taken)


def assert_linear(function: Any, make: Callable[..., Any]) -> None:
    """Fail if a function takes more time for a text four times as long than it may.

    Args:
        function: Takes a text.
        make: Makes a text of about a number of characters.
    """
    for size in (SHORT, LONG):
        if seconds(function, make(size), times=1) > PASSES_S:
            short, long = (seconds(function, make(size * factor)) for factor in (1, FACTOR))
            # Quadratic is 16 times as much.
            assert long < 2.5 * FACTOR * short + PASSES_S, make(40)


def texts(
    literals: list[Any], others: list[str] | tuple[Any, ...] = ()
) -> Iterator[Callable[..., Any]]:
    """Return makers of texts that repeat one or two pieces, with ends that fit and do not."""
    pieces = dict.fromkeys([*literals, *PIECES])
    for first, second in product(pieces, ["", *(others or pieces)]):
        piece = first + second
        yield lambda size, piece=piece: piece * (size // len(piece))
    for start, piece, end in product(literals[:4], pieces, ("", "\n", "!")):
        yield (
            lambda size, start=start, piece=piece, end=end: (
                start + piece * (size // len(piece)) + end
            )
        )


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda each: each.where)
def test_expressions(expression: Any) -> None:
    """Each expression takes linear time for whatever can be made of its own characters."""
    source = expression.pattern.pattern
    is_text = isinstance(source, str)
    literals = re.findall("[A-Za-z]{3,}[=:(]?", source if is_text else source.decode())[:8]
    for make in texts(literals):
        for method in expression.methods:
            assert_linear(
                lambda text, method=method: run(expression.pattern, method, text),
                make if is_text else lambda size, make=make: make(size).encode(),
            )


def test_expressions_are_found() -> None:
    """The collection sees expressions of each package, and how they are used."""
    assert {each.where.partition("/")[0] for each in EXPRESSIONS} == set(PACKAGES)
    assert len(EXPRESSIONS) > 20
    assert any("(?<![\\w-])" in str(each.pattern.pattern) for each in EXPRESSIONS)


@pytest.mark.parametrize(
    ("pattern", "piece"), [(r"[^/]*:[^/]*@", ":"), (r"^.*:.*:.*@", ":"), (r"\s*;", " ")]
)
def test_the_measure(pattern: str, piece: str) -> None:
    """An expression that takes quadratic or cubic time would be found."""
    with pytest.raises(AssertionError):
        assert_linear(re.compile(pattern).search, lambda size: piece * size)


def extracted(did: str) -> None:
    """The scope and the name in a DID as users type it, if there are any."""
    with suppress(RucioException):
        scope(did, None)


FUNCTIONS = [
    *[redact, mask, printable, refusal, split_name],
    lambda text: refusal(f"https://example.org/?{text}"),
    lambda text: redact(f"https://example.org/{text}"),
    lambda text: redact(f"ftp://h/{text}"),
    lambda text: redact(f"h ttp:{text}"),
    lambda text: mask(f"https://h/{text}"),
    lambda text: mask(f"token={text}"),
    lambda text: absolute(text, "https://example.org/a/b"),
    lambda text: asset_name("c", "i", f"k{text}", f"https://example.org/{text}"),
    lambda text: escape(f"k{text}"),
    *(
        partial(lambda start, text: origins().access(start + text, {}, {"type": text}), start)
        for start in ("s3://", "s3://usgs-landsat/", "az://", "abfs://c@", "https://", "/vsis3/")
    ),
    lambda text: extracted(f"c/i/{text}"),
    lambda text: extracted(f"https://h/{text}"),
    lambda text: parse({"api": text, "scopes": text, "allowed_hosts": text, "cache_s": text}),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_functions(function: Any) -> None:
    """So does what is made of them."""
    with configured():
        for make in texts(["token", "collections/", "items/", "-.41", "user:"], SEPARATORS):
            assert_linear(function, make)


@pytest.mark.parametrize("text", ["ftp://h/" + ":" * 60_000, "x" * 10**6, "token=" * 10**5])
def test_long_texts(text: str) -> None:
    """What is shown of a text of extreme length is short, and soon there."""
    began = time.thread_time()
    assert len(redact(text)) < 10_000
    assert len(mask(text)) < 10_000
    assert time.thread_time() - began < 0.5
