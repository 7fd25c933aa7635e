"""Rules on the command line: their ids, and how they are shown."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .output import Column
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stac_client import Rule

    from .output import Output

RULES = (
    Column("id", "rule", "id"),
    Column("state", "state", "id"),
    Column("rse_expression", "RSE expression"),
    Column("copies", "copies", "number"),
    Column("locks_ok", "OK", "number"),
    Column("locks_replicating", "replicating", "number"),
    Column("locks_stuck", "stuck", "number"),
    Column("did", "over"),
    Column("error", "error"),
)
"""Columns of rules."""

_FOR_PEOPLE = (
    Column("id", "rule", "id"),
    Column("state", "state", "id"),
    Column("rse_expression", "RSE expression"),
    Column("copies", "copies", "number"),
    Column("files", "files OK", "id"),
    Column("locks_stuck", "stuck", "number"),
)
_ID = re.compile(r"[0-9a-f]{32}")


def is_rule_id(text: str) -> bool:
    """Tell a rule's id from the name of a file."""
    return bool(_ID.fullmatch(text.lower()))


def rule_ids(words: Sequence[str]) -> list[str]:
    """Give the ids that a command line names; `-` stands for those on standard input.

    Raises:
        click.UsageError: There are none, or something else is among them.
    """
    ids: list[str] = []
    for word in words:
        ids += ids_of_lines(sys.stdin.buffer) if word == "-" else [word]
    if wrong := next((word for word in ids if not is_rule_id(word)), None):
        raise click.UsageError(f"{wrong[:80]!r} is not the id of a rule, which has 32 hex digits")
    if not ids:
        raise click.UsageError("no rules: give their ids, or - for standard input")
    return list(dict.fromkeys(ids))


def ids_of_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """Give the ids of rules as `replicate` prints them: alone, first of a line, or in JSON."""
    for line in lines:
        text = line.decode(errors="replace").strip()
        if text:
            yield _id_in_json(text) or text.split()[0]


def _id_in_json(text: str) -> str | None:
    """The id of a rule as `--json` prints it; items in JSON have ids too, but are no rules."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_rule = isinstance(value, dict) and "rse_expression" in value
    return str(value.get("id")) if is_rule else None


def show_rules(output: Output, rules: Iterable[Rule]) -> None:
    """Write rules: for people with fewer columns, and with errors in lines of their own."""
    rows = [*as_rows(rules)]
    if not output.for_people:
        output.rows(RULES, rows)
        return
    for row in rows:
        total = row["locks_ok"] + row["locks_replicating"] + row["locks_stuck"]
        row["files"] = f"{row['locks_ok']:,} of {total:,}"
        row["locks_stuck"] = row["locks_stuck"] or None
    output.rows(_FOR_PEOPLE, rows)
    for row in rows:
        if row["error"]:
            click.echo(printable(f" rule {row['id']}: {row['error']}"))


def as_rows(rules: Iterable[Rule]) -> Iterator[dict[str, Any]]:
    """All fields of rules, as JSON can hold them."""
    for rule in rules:
        yield {**asdict(rule), "did": str(rule.did)}
