"""A lake's Rucio on PostgreSQL, which needs Debian's package postgresql.

Not among the tests that are found by themselves, but run by its name:

    pytest tests/production/postgresql.py --lake-database postgresql
"""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import create_engine, text

from stac_client import ConfigurationError, StacClient, State, plan_setup
from stac_client.admin import examine
from stac_testbed import STORAGE_EXPRESSION, TestbedError, load, processes, start
from stac_testbed.postgresql import Cluster, Schema
from tests.items import many_items
from tests.lake import conftest as fixtures
from tests.testbed.test_lake import stac_testbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stac_testbed.lake import Lake

client, collection, rucio = fixtures.client, fixtures.collection, fixtures.rucio
requests_sent = fixtures.requests_sent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL server that is no lake's."""
    folder = tmp_path_factory.mktemp("postgresql")
    (port,) = processes.free_ports(1)
    cluster = Cluster.plan(folder / "cluster", port)
    cluster.make(folder)
    process = processes.start(cluster.service, folder)
    Schema(cluster.url).wait(30)
    yield cluster
    processes.stop([process])
    cluster.remove()


@pytest.fixture
def run(server: Cluster) -> Iterator[Callable[..., Any]]:
    """Run SQL on the server."""
    engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))

    def run(sql: Any) -> Sequence[Any] | None:
        with engine.begin() as connection:
            result = connection.execute(text(sql))
            return result.scalars().all() if result.returns_rows else None

    yield run
    engine.dispose()


def schemas(run: Callable[..., Any]) -> Any:
    """The schemas that are not PostgreSQL's."""
    return run("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'")


@pytest.mark.usefixtures("stac_lake")
def test_the_lake_is_on_postgresql(stac_lake: Lake) -> None:
    """The option --lake-database decides where the fixture's Rucio keeps its data."""
    assert stac_lake.layout.database_url.startswith("postgresql+psycopg://")
    assert not (stac_lake.layout.folder / "rucio.db").exists()
    assert stac_lake.is_running


def test_requests_for_1000_assets(client: Any, collection: Any, requests_sent: Any) -> None:
    """1,000 new assets, with a dataset for each of 1,000 items, take seven requests."""
    items = many_items(collection, 1000, 1)
    registration = client.create_replicas(items, "STAC")
    assert registration.counts == {State.REGISTERED: 1000}
    assert len(requests_sent) <= 7, requests_sent.sent
    requests_sent.sent.clear()
    (rule,) = client.create_replication_rules(registration, STORAGE_EXPRESSION)
    assert rule.locks_ok + rule.locks_replicating == 1000
    assert len(requests_sent) <= 4, requests_sent.sent
    client.delete_replication_rules([rule], at_once=True)


def test_a_database_of_rucio_38(stac_lake: Lake, client: Any, collection: Any) -> None:
    """What an upgrade leaves NOT NULL is told with the ALTER, which helps; what is there stays.

    Rucio's own upgrade (3b943000da18) takes away the defaults of these columns alone.
    """
    rucio = stac_lake.client()
    registration = client.create_replicas(many_items(collection, 1, 2), "STAC")
    schema = stac_lake.layout.schema
    assert schema is not None
    engine = create_engine(stac_lake.layout.database_url)

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(f"SET search_path TO {schema.name}"))
            for statement in statements:
                connection.execute(text(statement))

    with engine.connect() as connection:
        off = connection.execute(
            text(
                "SELECT column_name FROM information_schema.columns WHERE is_nullable = 'YES' "
                "AND table_schema = :schema AND table_name = 'rse_protocols' "
                "AND column_name ~ '_(lan|wan|read|write)$'"
            ),
            {"schema": schema.name},
        )
        priorities = [str(name) for name in off.scalars()]
    assert len(priorities) == 8
    run(
        *(f"UPDATE rse_protocols SET {name} = coalesce({name}, 0)" for name in priorities),  # noqa: S608
        *(f"ALTER TABLE rse_protocols ALTER COLUMN {name} SET NOT NULL" for name in priorities),
    )
    with pytest.raises(ConfigurationError, match="takes no disabled operations") as caught:
        list(plan_setup(rucio, "STAC", destinations=STORAGE_EXPRESSION).apply(rucio))
    run(str(caught.value.hint).removeprefix("run there: "))
    list(plan_setup(rucio, "STAC", destinations=STORAGE_EXPRESSION).apply(rucio))
    engine.dispose()
    assert not [check for check in examine(rucio, "STAC") if check.why]
    found = {row.did for row in client.create_replicas(many_items(collection, 1, 2), "STAC")}
    assert found == set(registration.dids)


def test_registrations_at_the_same_time(stac_lake: Lake, collection: Any) -> None:
    """Eight users register the same items at once: all is there once, and nobody sees an error."""
    items = many_items(collection, 20, 10)
    clients = [StacClient(stac_lake.client()) for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as threads:
        for registration in threads.map(lambda user: user.create_replicas(items, "STAC"), clients):
            registration.raise_for_failed()
    names = list(stac_lake.client().list_dids(collection, {}, did_type="file"))
    assert len(names) == len(set(names)) == 200


def test_up_down_and_up_again_in_a_database_of_ones_own(
    server: Cluster, run: Callable[..., Any], tmp_path: Path
) -> None:
    """A lake takes one schema, keeps it while it is stopped, and leaves none when removed."""
    folder = tmp_path / "lake"
    result = stac_testbed("up", "--folder", folder, "--database", server.url)
    assert result.returncode == 0, result.stderr
    lake = load(folder)
    assert lake.layout.schema is not None
    assert schemas(run) == ["public", lake.layout.schema.name]
    assert run("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [0]
    assert run("SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace") == [0]
    lake.client().add_scope("root", "kept")

    for process in psutil.process_iter(["cmdline"]):
        assert server.password not in " ".join(process.info["cmdline"] or [])
    assert server.password not in f"{lake!r} {result.stdout}"
    for path in folder.rglob("*"):
        if path.is_file() and server.password.encode() in path.read_bytes():
            assert path.name in {"lake.json", "server.cfg", "alembic.ini"}
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    assert stac_testbed("down", "--folder", folder).returncode == 0
    again = stac_testbed("up", "--folder", folder, "--database", "postgresql")
    assert "has its database" in again.stderr
    assert stac_testbed("up", "--folder", folder).returncode == 0
    assert "kept" in load(folder).client().list_scopes()
    assert stac_testbed("down", "--remove", "--folder", folder).returncode == 0
    assert schemas(run) == ["public"]
    assert not folder.exists()


def test_a_database_with_a_rucio_in_it(
    server: Cluster, run: Callable[..., Any], tmp_path: Path
) -> None:
    """Where a Rucio is that no lake has made, none is made beside it, and nothing is touched."""
    run("CREATE SCHEMA production")
    for table in ("dids", "rses", "rules"):
        run(f"CREATE TABLE production.{table} (precious int)")
    try:
        before = schemas(run)
        with pytest.raises(TestbedError, match="holds a Rucio already, in the schema production"):
            start(tmp_path / "lake", database=server.url)
        assert schemas(run) == before
    finally:
        run("DROP SCHEMA production CASCADE")
    assert not (tmp_path / "lake").exists()


def test_only_a_lakes_schema_is_dropped(server: Cluster, run: Callable[..., Any]) -> None:
    """A schema that is not marked as a lake's stays, whatever a lake's files say."""
    run("CREATE SCHEMA precious")
    try:
        with pytest.raises(TestbedError, match=r"precious .* not marked"):
            Schema(server.url, "precious").drop()
        assert "precious" in schemas(run)
    finally:
        run("DROP SCHEMA precious")
    Schema(server.url, "gone").drop()


def test_a_user_who_may_not(server: Cluster, run: Callable[..., Any]) -> None:
    """A user without the right to make schemas is told what PostgreSQL says."""
    run("CREATE ROLE reader LOGIN PASSWORD 'reading'")
    url = f"postgresql://reader:reading@127.0.0.1:{server.port}/postgres"
    with pytest.raises(TestbedError, match="permission denied for database postgres") as caught:
        Schema(url).create()
    assert "reading" not in str(caught.value)


def test_a_wrong_password(server: Cluster) -> None:
    """A refused login says so without the password."""
    with pytest.raises(TestbedError, match="password authentication failed") as caught:
        Schema(server.url.replace(server.password, "s3cret")).create()
    assert "s3cret" not in str(caught.value)


def test_it_listens_on_the_loopback_interface_only(server: Cluster) -> None:
    """Nobody on the network reaches the server, and on this machine it asks for a password."""
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == server.port
    }
    assert listening == {"127.0.0.1"}
