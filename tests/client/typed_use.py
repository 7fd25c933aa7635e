"""Typical use of the client, which is read by mypy and never run.

What mypy must refuse is marked; an unused mark is an error, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

import pystac_client
from rucio.client import Client as RucioClient

from stac_client import (
    ALTERNATE_ASSETS,
    Availability,
    History,
    Modifier,
    ModifierOptions,
    Outcome,
    Probe,
    Registration,
    ReplicationRules,
    Rule,
    StacClient,
    StacRucioError,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pystac

    from stac_policy.naming import DID

API = "https://stac.example.org/v1"


def connect() -> StacClient:
    """Connect in each way."""
    StacClient(RucioClient(), scope="user.alice")
    StacClient(rucio=None)
    StacClient(scope=5)  # type: ignore[arg-type]
    return StacClient()


def search(client: StacClient) -> pystac_client.ItemSearch:
    """Let pystac-client show the replicas."""
    pystac_client.Client.open(API, modifier=client.modifier)
    pystac_client.Client.open(API, modifier=client.modifier.with_options(prefer=("A", "B")))
    options = ModifierOptions(prefer=("A",))
    pystac_client.Client.open(API, modifier=Modifier(RucioClient(), options, scope="x"))
    pystac_client.Client.open(API, modifier=client)  # type: ignore[arg-type]
    catalogue = pystac_client.Client.open(
        API, modifier=client.modifier.with_options(prefer=["DISK"])
    )
    return catalogue.search(collections=["alps"], max_items=5)


def modify(
    client: StacClient, item: pystac.Item, page: dict[str, Any], items: Iterator[pystac.Item]
) -> Modifier:
    """Modify items without pystac-client."""
    client.modifier(item)
    client.modifier(page)
    client.modifier([item, page])
    client.modifier(None)  # type: ignore[arg-type]
    client.modifier(items)  # type: ignore[arg-type]
    client.modifier("DISK")  # type: ignore[arg-type]
    client.modifier(prefer=["DISK"])  # type: ignore[arg-type]
    client.modifier.with_options(prefer=5)  # type: ignore[arg-type]
    client.modifier.with_options(prefr="A")  # type: ignore[call-arg]
    return client.modifier.with_options(prefer=["DISK"], timeout_s=None)


def items_of_all_kinds(  # noqa: PLR0917 - one of each kind
    client: StacClient,
    found: pystac_client.ItemSearch,
    collection: pystac_client.CollectionClient,
    collected: pystac.ItemCollection,
    objects: list[pystac.Item],
    dicts: Iterator[dict[str, Any]],
    page: Mapping[str, Any],
) -> Registration:
    """Register whatever holds items."""
    client.create_replicas(found, "STAC")
    client.create_replicas(collection, "STAC", probe="head")
    client.create_replicas(collected, "STAC", probe=Probe.ITEM)
    client.create_replicas(objects, "STAC", assets=["red", "nir"])
    client.create_replicas(objects[0], "STAC", assets={"red"})
    client.create_replicas(page, "STAC")
    client.create_replicas((item for item in objects), "STAC")
    client.create_replicas(5, "STAC")  # type: ignore[arg-type]
    client.create_replicas(objects, "STAC", ["red"])  # type: ignore[call-arg]
    return client.create_replicas(dicts, rse="STAC")


def read(registration: Registration) -> list[DID]:
    """Look at what became of the assets."""
    first: Outcome = registration[0]
    some: Sequence[Outcome] = registration[1:3]
    failed: list[Outcome] = registration.by_state(State.FAILED)
    counts: dict[State, int] = registration.counts
    dataset: Optional[DID] = first.dataset  # noqa: UP045 - as users of Python 3.9 write it
    wrong: str = first.did  # type: ignore[assignment]
    first.state = State.FAILED  # type: ignore[misc]
    registration.raise_for_failed()
    print(ALTERNATE_ASSETS, some, failed, counts, dataset, wrong, len(registration))  # noqa: T201
    return registration.dids


def replicate(client: StacClient, registration: Registration, items: list[pystac.Item]) -> None:
    """Make rules and follow them."""

    def show(rules: Sequence[Rule]) -> None:
        print([rule.state for rule in rules])  # noqa: T201

    try:
        rules: ReplicationRules = client.create_replication_rules(items, "tier=disk", copies=2)
        rules += client.create_replication_rules(registration, "DISK", lifetime_s=3600)
        rules = client.wait(rules, timeout_s=60, poll_s=1, on_update=show)
        client.wait(rules[:1], on_update=History())
        wrong: list[Rule] = client.replication_rules(["id"])  # type: ignore[assignment]
        print(wrong)  # noqa: T201
        rows: Sequence[Availability] = client.replication_availability(items)
        complete: list[bool] = [row.complete for row in rows]
        client.delete_replication_rules(rules, at_once=all(complete))
        client.wait(rules, on_update=print)
    except StacRucioError as error:
        raise SystemExit(str(error)) from error
