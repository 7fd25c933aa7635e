"""What an administrator sets up, on a real Rucio server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stac_client import (
    AccessError,
    ConfigurationError,
    RequestError,
    State,
    plan_setup,
    summarise_catalogue,
)
from stac_client._source_rse import (
    disabled_priority,
)
from stac_client.admin import plan_scopes
from stac_testbed import STORAGE_RSES
from tests.items import make_asset, make_item, many_items

if TYPE_CHECKING:
    from pystac import ItemCollection
    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


DISK, *_ = STORAGE_RSES.values()


def apply(client: Any, rse: Any, **options: Any) -> list[Any]:
    """Set up a source RSE and give the changes that were made, as text."""
    return [str(change) for change in plan_setup(client, rse, **options).apply(client)]


def test_a_new_source_rse(stac_lake: Lake, client: StacClient, rucio: Client) -> None:
    """From a catalogue's items come RSE, protocols, attributes, distances and scopes that work."""
    found = summarise_catalogue(many_items("setup-new", 2, 1))
    fts = stac_lake.layout.url("transfers")
    made = apply(rucio, "SETUP-NEW", destinations="tier=disk", catalogue=found)
    assert made == [
        "add RSE SETUP-NEW, non-deterministic, not available for writing or deletion",
        "add protocol stac_policy.protocol.Default for https to SETUP-NEW",
        f"set attribute fts={fts} on SETUP-NEW",
        "set attribute supported_checksums=none on SETUP-NEW",
        *(f"add distance 1 from SETUP-NEW to {rse}" for rse in STORAGE_RSES.values()),
        "add scope setup-new for account root",
    ]
    items = many_items("setup-new", 1, 1)
    client.create_replicas(items, "SETUP-NEW").raise_for_failed()
    with pytest.raises(RequestError, match="not available for writing"):
        client.create_replication_rules(items, "SETUP-NEW")


def test_planning_changes_nothing(rucio: Client, requests_sent: Requests) -> None:
    """A plan asks and writes nothing, even where all is missing."""
    plan = plan_setup(
        rucio,
        "SETUP-NEVER",
        destinations=[DISK],
        catalogue=summarise_catalogue(many_items("never", 1, 1)),
    )
    assert plan.changes
    assert "the server and its daemons before a source RSE is added" in plan.notes[0]
    assert {request.split()[0] for request in requests_sent.sent} == {"GET"}


@pytest.mark.parametrize("made", range(9))
def test_setup_goes_on_where_it_stopped(rucio: Client, made: Any) -> None:
    """After any number of its changes, another run makes the others, and a third none."""
    rse, scope = f"SETUP-PART-{made}", f"setup-part-{made}"
    catalogue = summarise_catalogue(many_items(scope, 1, 1))
    catalogue.assets += summarise_catalogue(
        [make_item(scope, "i", {"a": make_asset("http://x/y")})]
    ).assets
    options: dict[str, Any] = {"destinations": "tier=disk", "catalogue": catalogue}
    changes = plan_setup(rucio, rse, **options).changes
    for change in changes[:made]:
        change.apply(rucio)
    assert apply(rucio, rse, **options) == [str(change) for change in changes[made:]]
    assert apply(rucio, rse, **options) == []
    assert len(changes) == 8


def test_what_was_changed_is_fixed(rucio: Client) -> None:
    """Priorities, attributes and availability of a source RSE are set as they should be."""
    apply(rucio, "SETUP-FIX", destinations=[DISK])
    rucio.add_rse_attribute("SETUP-FIX", "supported_checksums", "adler32")
    changed = {"availability_write": True, "availability_read": False, "availability_delete": True}
    rucio.update_rse("SETUP-FIX", changed)
    disabled = disabled_priority(rucio.ping()["version"])
    wan = {"read": 1, "write": disabled, "third_party_copy_write": 2}
    domains = {"wan": wan | {"third_party_copy_read": 1}}
    rucio.update_protocols("SETUP-FIX", "https", {"domains": domains}, "localhost", 443)
    assert apply(rucio, "SETUP-FIX", destinations=[DISK]) == [
        "set availability_write=False on SETUP-FIX",
        "set availability_read=True on SETUP-FIX",
        "set availability_delete=False on SETUP-FIX",
        (
            "set priorities of the protocol for https of SETUP-FIX: "
            "wan write on, wan third_party_copy_write off"
        ),
        "set attribute supported_checksums=none on SETUP-FIX (was adler32)",
    ]
    assert apply(rucio, "SETUP-FIX", destinations=[DISK]) == []


def test_paths_back(rucio: Client) -> None:
    """Where storages have our paths, the server's config table says that it finds DIDs by them."""
    option = ("policy", "pfn2lfn")
    assert rucio.get_config(*option) == "stac"  # as this has made the lake's
    apply(rucio, "SETUP-PATHS", destinations=[DISK])
    rucio.delete_config_option(*option)
    (made,) = apply(rucio, "SETUP-PATHS", destinations=[DISK])
    assert made.startswith("set [policy] pfn2lfn=stac in the server's config table")
    assert rucio.get_config(*option) == "stac"


def test_a_storage_is_no_source_rse(rucio: Client) -> None:
    """A storage is not turned into a source RSE."""
    with pytest.raises(ConfigurationError, match=f"{DISK} is deterministic.*another name"):
        plan_setup(rucio, DISK, destinations="tier=disk")


def test_destinations_that_do_not_exist(rucio: Client) -> None:
    """A destination that does not exist is named, as is an RSE expression without RSEs."""
    with pytest.raises(ConfigurationError, match="no RSE NOWHERE"):
        plan_setup(rucio, "SETUP-OF", destinations=[DISK, "NOWHERE"])
    with pytest.raises(ConfigurationError, match="tier=nowhere"):
        plan_setup(rucio, "SETUP-OF", destinations="tier=nowhere")


def test_no_fts_to_be_found(rucio: Client) -> None:
    """Where no destination names an FTS server, one has to be given."""
    rucio.add_rse("SETUP-NO-FTS")
    with pytest.raises(ConfigurationError, match="attribute fts"):
        plan_setup(rucio, "SETUP-OF", destinations=["SETUP-NO-FTS"])
    fts = "https://fts.example.org:8446"
    changes = plan_setup(rucio, "SETUP-OF", destinations=["SETUP-NO-FTS"], fts=fts).changes
    assert f"set attribute fts={fts} on SETUP-OF" in map(str, changes)


def test_only_administrators_set_up(stac_lake: Lake) -> None:
    """An ordinary account may look, and is told whom to ask for the rest."""
    alice = stac_lake.client("alice")
    first, *_ = plan_setup(alice, "MINE", destinations="tier=disk").changes
    with pytest.raises(AccessError, match=r"add RSE MINE.*administrator"):
        first.apply(alice)


def test_scopes_of_collections(rucio: Client) -> None:
    """Missing scopes are added for an account, and those that exist told with their owner."""
    wanted = {"of-alice": "user.alice", "setup-scope": "setup-scope"}
    plan = plan_scopes(rucio, wanted, owner="alice")
    (note,) = plan.notes
    assert note.startswith("scope user.alice of collection of-alice ")
    assert ("account alice" in note) == hasattr(rucio, "list_scope_owners")  # from Rucio 40 on
    (change,) = plan.apply(rucio)
    assert str(change) == "add scope setup-scope for account alice"
    assert "setup-scope" in rucio.list_scopes_for_account("alice")
    assert plan_scopes(rucio, wanted).changes == []


def test_an_rse_with_a_stock_protocol(
    stac_lake: Lake, client: StacClient, rucio: Client, scenes: ItemCollection
) -> None:
    """At an RSE with one of Rucio's protocols, what it can hold is registered and replicated."""
    origin = stac_lake.layout.ports["origin-a"]
    rucio.add_rse("STOCK", deterministic=False)
    on = {"read": 1, "write": 1, "delete": None}
    rucio.add_protocol(
        "STOCK",
        {
            "scheme": "http",
            "hostname": "127.0.0.1",
            "port": origin,
            "prefix": "/",
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": {"lan": on, "wan": {**on, "third_party_copy_read": 1}},
        },
    )
    rucio.add_rse_attribute("STOCK", "fts", stac_lake.layout.url("transfers"))
    rucio.add_rse_attribute("STOCK", "supported_checksums", "none")
    rucio.add_distance("STOCK", DISK, {"distance": 1})
    # No other test asks where this one has replicas.
    item = next(item for item in scenes if item.id == "ortler-20250711")
    keys = ["red", "nir", "thumbnail"]
    plan = plan_setup(
        rucio, "STOCK", destinations=[DISK], catalogue=summarise_catalogue([item], assets=keys)
    )
    assert plan.changes == []
    left, lacking, *_ = plan.notes
    assert "webdav.Default" in left
    assert "left as it is" in left
    assert lacking.startswith("1 of 3 assets cannot be registered at RSE STOCK: ")
    registration = client.create_replicas([item], "STOCK", assets=keys)
    assert registration.counts == {State.REGISTERED: 2, State.SKIPPED: 1}
    (skipped,) = registration.by_state(State.SKIPPED)
    assert "no protocol for https" in skipped.reason
    assert client.plan([item], "STOCK", assets=["red", "nir"]).already_there == 1
    again = client.create_replicas([item], "STOCK", assets=keys)
    assert again.counts == {State.ALREADY_THERE: 2, State.SKIPPED: 1}
    rules = client.create_replication_rules(registration, DISK)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=1)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
