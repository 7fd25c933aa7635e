"""Every statement that is sent to Rucio's database, as each kind of database gets it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import stac_policy

from .server import run_with_server

SENDS = re.compile(r".*\.(execute|scalars?)|session\.(get|merge|query)", re.DOTALL)
"""Methods that send statements."""

_STATEMENTS = """
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from rucio.common.types import InternalScope
from sqlalchemy.dialects import mysql, oracle, postgresql, sqlite
from stac_policy import __main__, algorithms, dids, permission
from stac_policy.naming import DID

found = {}
engine = session.get_engine()

class Answer(list):
    def scalars(self):
        return self
    def first(self):
        return None

class Session:
    def execute(self, statement):
        caller = sys._getframe(1)
        folder, _, module = caller.f_code.co_filename.rpartition("/")
        if folder.endswith("stac_policy"):
            found[f"{module}:{caller.f_lineno}"] = {
                dialect.name: str(statement.compile(
                    dialect=dialect, compile_kwargs={"render_postcompile": True}
                ))
                for dialect in (
                    oracle.dialect(), mysql.dialect(), postgresql.dialect(), sqlite.dialect()
                )
            }
            sql = statement.compile(engine, compile_kwargs={"literal_binds": True})
            with engine.connect() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")
                found[f"{module}:{caller.f_lineno}"]["plan"] = [row.detail for row in plan]
        return Answer()

@contextmanager
def opened(_):
    yield Session()

session.db_session = opened
c = InternalScope("c")
permission._has_source_protocol("0" * 32, Session())
algorithms._children(SimpleNamespace(scope=c, name="/c"), Session())
__main__._paths_back("def", {"stac"})
dids._has_container(DID("c", "/c"))
dids.source_urls(DID("c", "/c/i/k.tif"))
import rucio.core.vo
rucio.core.vo.list_vos = lambda session: [{"vo": "eoc"}, {"vo": "def"}]
dids.vos = lambda: ("eoc",)
dids.source_urls(DID("c", "/c/i/k.tif"))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The SQL of each statement by the line that sends it and the database."""
    return run_with_server(_STATEMENTS, tmp_path_factory.mktemp("statements"))


def test_all_statements(statements: Any) -> None:
    """The statements below are those of the package: whatever sends one is among them."""
    sending = set()
    for path in Path(stac_policy.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and SENDS.fullmatch(ast.unparse(node)):
                sending.add(f"{path.name}:{node.lineno}")
    assert set(statements) == sending


@pytest.mark.parametrize("database", ["oracle", "mysql", "postgresql", "sqlite"])
def test_databases(statements: Any, database: str) -> None:
    """Each selects columns of a table; `SELECT EXISTS`, say, is none for Oracle before 23."""
    for sql in (each[database] for each in statements.values()):
        assert re.match(r"SELECT [a-z0-9_.]+(, [a-z0-9_.]+)* ?\nFROM [a-z_]+ ", sql), sql
        assert not re.search(r"\b(EXISTS|true|false|LIMIT|FETCH)\b", sql)


def test_indexes(statements: Any) -> None:
    """What is asked for each file or request is found by an index, in every table."""
    plans = [each["plan"] for where, each in statements.items() if "__main__" not in where]
    assert all(step.startswith("SEARCH ") for plan in plans for step in plan), plans
