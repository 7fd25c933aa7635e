"""JSON that comes through with every number as it was."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_rucio.serve._pages import dumps, loads

digits = st.text("0123456789", min_size=1, max_size=30)
integers = st.builds(
    lambda sign, text: sign + (text.lstrip("0") or "0"), st.sampled_from(["", "-"]), digits
)
exponents = st.builds(
    lambda letter, sign, text: letter + sign + text,
    st.sampled_from("eE"),
    st.sampled_from(["", "-", "+"]),
    st.text("0123456789", min_size=1, max_size=4),
)
numbers = st.builds(
    lambda whole, fraction, exponent: whole + fraction + exponent,
    integers,
    st.one_of(st.just(""), digits.map(".{}".format)),
    st.one_of(st.just(""), exponents),
)
strings = st.text().map(lambda text: json.dumps(text, ensure_ascii=False))
texts = st.recursive(
    st.one_of(numbers, strings, st.sampled_from(["true", "false", "null"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
        st.dictionaries(strings, inner, max_size=4).map(
            lambda parts: "{" + ",".join(f"{key}:{part}" for key, part in parts.items()) + "}"
        ),
    ),
    max_leaves=20,
)


@given(texts)
def test_nothing_changes(text):
    """Numbers, the order of keys and all strings come out as they went in."""
    assert dumps(loads(text.encode())).decode() == text


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "1",
        "1.10",
        "-0",
        "-0.0",
        "1e5",
        "1E+05",
        "1e400",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890",
        "9" * 5000,
        '{"b":1,"a":2}',
        "[NaN,Infinity,-Infinity]",
    ],
)
def test_odd_numbers(text):
    """What Python would write otherwise, or refuse, stays."""
    assert dumps(loads(text.encode())).decode() == text


def test_half_of_a_surrogate_pair():
    """An escape that stands for no character stays one."""
    assert dumps(loads(rb'{"a":"\ud800 \u00e9"}')) == '{"a":"\\ud800 \u00e9"}'.encode()


@given(st.binary(max_size=40))
def test_anything(content):
    """What is no JSON in UTF-8 is a ValueError; what is written once is written so for ever."""
    with contextlib.suppress(ValueError):
        text = dumps(loads(content))
        assert dumps(loads(text)) == text


def test_nested_too_deeply():
    """A bottomless body is told from others."""
    with pytest.raises(RecursionError):
        loads(b"[" * 200_000)
