"""StacClient: STAC searches as Rucio data."""

from __future__ import annotations

import warnings
from functools import cached_property, partial
from typing import TYPE_CHECKING

from stac_client._assets import registrable
from stac_client._history import History
from stac_client._in_flight import MOST
from stac_client._in_rucio import without_lost
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._journal import Journal, registration_purpose
from stac_client._lookup import Probe
from stac_client._modifier import Modifier, ModifierOptions, patch_url
from stac_client._new_rules import make_rule_over_files, make_rules, require_any
from stac_client._partition import Partition
from stac_client._plan import Plan, make_plan
from stac_client._registration import Registrar, sync
from stac_client._results import Registration
from stac_client._rucio import Rucio, make_client
from stac_client._rules import (
    ReplicationRules,
    delete_rule,
    extend_rule,
    get_rule,
    retry_rule,
    rule_ids,
    rules_of_account,
    rules_over,
)
from stac_client._stac_api import ItemsWarning
from stac_client._status import (
    ReplicationAvailability,
    RuleStatus,
    replication_availability,
    rule_status,
)
from stac_client._tables import watching
from stac_client._waiting import wait_for_rules
from stac_client._writer import deregister
from stac_client.errors import ConfigurationError, require_count
from stac_policy.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rucio.client import Client

    from stac_client._items import ItemDict, ItemsLike
    from stac_client._replicas import Prefer, Prefixes
    from stac_client._results import Downloads, Outcome, Progress
    from stac_client._rules import RulesLike
    from stac_client._selection import AssetSelection
    from stac_policy.naming import DID

DAY_S = 86_400.0
_WHOLE = Partition()


class StacClient:
    """Registers, replicates and finds the assets of STAC items in Rucio.

    Every method that takes `items` takes whatever holds items: a search of
    pystac-client, an item collection, a collection, a page, items as objects or
    dicts, or the path of a file of items. Every method that takes `rules` takes
    rules or their ids, one or many. Every method raises a `StacRucioError` that
    says what to do; a Rucio server that is away or too busy is asked again for a
    while before. It can be pickled, and so can its methods: no token of Rucio goes along, only
    the headers, unless the Rucio client was given; rucio.cfg has to be there as well.
    """

    def __init__(
        self,
        rucio: Client | None = None,
        *,
        account: str | None = None,
        config: Path | str | None = None,
        scope: str | None = None,
        collection: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, Mapping[str, str]] | None = None,
        site: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        """Connect to Rucio.

        Args:
            rucio: The Rucio client to use; by default one as rucio.cfg says.
            account: Another account than that of rucio.cfg.
            config: A rucio.cfg other than the usual one.
            scope: A fixed scope for all assets, instead of those derived from
                their collections.
            collection: The collection of items that name none, by a field, by a link
                or among their properties.
            base_url: The URL of the folder that relative hrefs start at, for items that
                neither have a URL nor were read from one; of a catalogue in files, that
                of the folder of the file that is given.
            headers: Headers for look-ups and downloads at an origin, by its URL:
                `{"https://stac.example.org": {"X-API-Key": key}}`. They may hold
                credentials, and go to no other origin.
            site: The site that `prefer="nearest"` means, as the RSEs' attribute `site` names it;
                by default that of `SITE_NAME` in the environment. An `AlternatesWarning` says if no
                RSE is there.
            retry_s: How long to ask a server again that is away or too busy, in
                seconds; by default 90, or what `STAC_RUCIO_RETRY_S` says in
                the environment.

        Raises:
            ConfigurationError: There is no usable rucio.cfg, no such scope, or an argument does
                not fit.
            AccessError: Rucio does not accept its account or credentials.
            UnreachableError: The Rucio server does not answer.
        """
        self._made_anew = partial(
            StacClient,
            rucio,
            account=account,
            config=config,
            scope=scope,
            collection=collection,
            base_url=base_url,
            headers=headers,
            site=site,
            retry_s=retry_s,
        )
        completion = Completion(collection, base_url)
        if rucio is None:
            make = partial(make_client, account, config)
            self._rucio = Rucio.connect(make, retry_s=retry_s)
        elif account is None and config is None:
            self._rucio = Rucio(rucio, retry_s=retry_s)
        else:
            raise ConfigurationError("account and config are for a client that is made here")
        if scope:
            self._rucio.require_scope(scope)
        self._scope = scope
        self._completion = completion
        self._site = site
        self._headers = headers or {}
        try:
            Credentials(headers=self._headers)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if site:
            self.modifier.require_known()

    def __reduce__(self) -> tuple[partial[StacClient], tuple[()]]:
        """Be made anew where it is unpickled: as rucio.cfg there says, unless a client is given."""
        return self._made_anew, ()

    def __repr__(self) -> str:
        return f"<StacClient: {self._rucio}>"

    @cached_property
    def modifier(self) -> Modifier:
        """The modifier for `pystac_client.Client.open(url, modifier=…)`.

        It shows replicas as alternate assets, and remembers for some seconds what
        Rucio has said. `modifier.with_options(prefer=["RSE"])` puts the replica at an
        RSE into the `href`; `Modifier.with_options` has all options.
        """
        options = ModifierOptions(site=self._site)
        return Modifier(self._rucio, options, self._scope, self._completion)

    def patch_url(self, items: ItemsLike, *, prefer: Prefer) -> Callable[[str], str]:
        """Return a function from the URL of an asset to that of its preferred replica.

        For tools that take one: `odc.stac.load(items, patch_url=stac.patch_url(items,
        prefer=["RSE"]))`.

        Args:
            items: The items, in what can be gone through again, as a list can.
            prefer: The preferred replicas, as in `Modifier.with_options`.

        Returns:
            The function, which can be pickled; a URL that is of none of the items
            stays as it is.

        Raises:
            ConfigurationError: The items can be gone through only once.
        """
        return patch_url(items, self.modifier.with_options(prefer=prefer))

    def plan(
        self,
        items: ItemsLike,
        rse: str,
        *,
        assets: AssetSelection = None,
        probe: Probe | str = Probe.DOWNLOAD,
        alternate_assets: Sequence[str] = (),
        check: bool = False,
        partition: str | Partition | None = None,
    ) -> Plan:
        """Describe what `create_replicas` would do, without writing or downloading anything.

        Args:
            items: The items.
            rse: The source RSE.
            assets: The assets, as in `create_replicas`.
            probe: As there; with `item`, assets whose size is not known are rejected.
            alternate_assets: Alternates, as there.
            check: Look at an object of each bucket, as `create_replicas` does, to see
                whether anybody may read it; by default the table of origins says so. And
                ask each other host for a file by HEAD, as FTS does.
            partition: As in `create_replicas`.

        Returns:
            Files, bytes and hosts, and what cannot be registered, and why.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API does
                not answer.
        """
        part = Partition.of(partition)
        return make_plan(
            *(self._rucio, self._read(items, part), rse, assets, self._scope),
            probe=_probe(probe),
            alternate_assets=alternate_assets,
            check=check,
            is_part=bool(part),
        )

    def create_replicas(
        self,
        items: ItemsLike,
        rse: str,
        *,
        assets: AssetSelection = None,
        probe: Probe | str = Probe.DOWNLOAD,
        containers: bool = False,
        metadata: bool = False,
        alternate_assets: Sequence[str] = (),
        pays: bool = False,
        partition: str | Partition | None = None,
        in_flight: int = MOST,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Registration:
        """Register assets in Rucio, as replicas at their original URLs; no bytes move.

        Registering again changes nothing: what is there is recognised, and
        differences are reported as failures.

        Args:
            items: The items.
            rse: The source RSE.
            assets: Key or keys of the assets, or a predicate (`by_role`,
                `by_media_type`). By default those that are data.
            probe: How far to go for sizes and checksums: `item`, `head` or
                `download`, each only where those before it left something open.
            containers: Put the items' datasets into a container for each
                collection, `/COLLECTION`.
            metadata: Give the datasets metadata (`stac_datetime`, `stac_bbox`,
                `stac_collection`, `stac_item`, `stac_url`), and the files their
                `sha256` where their item tells; a `MetadataWarning` says if Rucio
                does not take it.
            alternate_assets: Keys of alternates (`["s3"]`), the most wanted first, that are
                registered where an asset has one; by default the easiest to fetch.
            pays: Look up also what the requester pays for, with your keys of AWS.
            partition: The part of the items to take, as `3/16`, the third of sixteen, of
                which each item is in one; nothing is said of keys that no item in it has.
            in_flight: The most requests to Rucio at a time. There are fewer after it said that
                it is busy, and while writing takes it longer than before.
            on_progress: Called in this thread, a few times a second; by default how far it is is
                shown in terminals and notebooks. A file is done
                when nothing more has to be found out about it.

        Returns:
            What became of each asset.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API does
                not answer.
        """
        part = Partition.of(partition)
        with watching(on_progress) as shown:
            registrar = Registrar(
                *(self._rucio, rse, assets, self._scope, _probe(probe), containers, metadata),
                on_progress=shown,
                alternate_assets=alternate_assets,
                pays=pays,
                headers=self._headers,
                is_part=bool(part),
                in_flight=in_flight,
            )
            found = registrar.register(self._read(items, part))
            return Registration(outcome for _, outcomes in found for outcome in outcomes)

    def sync(
        self,
        items: ItemsLike,
        rse: str,
        journal: Path,
        *,
        assets: AssetSelection = None,
        probe: Probe | str = Probe.DOWNLOAD,
        containers: bool = False,
        metadata: bool = False,
        alternate_assets: Sequence[str] = (),
        pays: bool = False,
        partition: str | Partition | None = None,
        in_flight: int = MOST,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[Outcome]:
        """Register a whole collection or search, and later what is new or has changed.

        Whatever stops it, another call goes on where it was: items that the
        journal has in their version of now are passed over, and what Rucio has
        already is recognised. Memory does not grow with the number of items.

        Args:
            items: The items, for example a collection or a search.
            rse: The source RSE.
            journal: File of the journal; made at the first call.
            assets: The assets, as in `create_replicas`.
            probe: As in `create_replicas`.
            containers: As in `create_replicas`.
            metadata: As in `create_replicas`.
            alternate_assets: As in `create_replicas`.
            pays: As in `create_replicas`.
            partition: As in `create_replicas`; each part has a journal of its own.
            in_flight: As in `create_replicas`.
            on_progress: As in `create_replicas`; called while outcomes are asked for.

        Yields:
            What became of each asset; those of items that are passed over are
            not among them.

        Raises:
            StacRucioError: As in `create_replicas`, or the journal is not one of a
                registration at this RSE.
        """
        part = Partition.of(partition)
        with watching(on_progress) as shown:
            registrar = Registrar(
                *(self._rucio, rse, assets, self._scope, _probe(probe), containers, metadata),
                on_progress=shown,
                alternate_assets=alternate_assets,
                pays=pays,
                headers=self._headers,
                is_part=bool(part),
                in_flight=in_flight,
            )
            purpose = registration_purpose(rse, self._rucio.host, part)
            with Journal(journal, purpose) as opened:
                yield from sync(self._read(items, part), opened, registrar)

    def delete_replicas(
        self,
        items: ItemsLike,
        rse: str,
        *,
        assets: AssetSelection = None,
        only_bad: bool = False,
    ) -> Registration:
        """Unregister assets from one RSE; copies elsewhere stay.

        Args:
            items: The items.
            rse: The source RSE.
            assets: The assets, as in `create_replicas`.
            only_bad: Only those that Rucio does not call available there. What was declared
                bad heals when it is then registered again.

        Returns:
            What became of each asset.

        Raises:
            StacRucioError: The RSE does not exist, or Rucio or the STAC API does
                not answer.
        """
        return Registration(
            deregister(self._rucio, self._read(items), rse, assets, self._scope, only_bad=only_bad)
        )

    def create_replication_rules(
        self,
        items: ItemsLike | Registration,
        rse_expression: str,
        *,
        assets: AssetSelection = None,
        copies: int = 1,
        lifetime_s: int | None = None,
        activity: str | None = None,
        comment: str | None = None,
        grouping: str = "DATASET",
        dataset_scope: str | None = None,
        per_item: bool = False,
    ) -> ReplicationRules:
        """Ask Rucio for copies of registered assets.

        One rule is made over one dataset that holds the selected files, or one
        rule over the dataset of each item. Asking again returns the same rules; one that
        would end too early is extended, one with another activity or comment changed. One
        that will stay for longer than asked for stays, with a `RuleWarning`. Any other
        difference, and a rule that is SUSPENDED, is an error that says so.

        Args:
            items: The items, or what `create_replicas` returned: then the assets
                that are in Rucio.
            rse_expression: Where the copies shall be.
            assets: The assets, as in `create_replicas`.
            copies: How many copies, each at another RSE.
            lifetime_s: Seconds until the rule ends; by default it does not.
            activity: The activity of the transfers; one of the server's.
            comment: Comment stored with the rule.
            grouping: What is kept together at an RSE: `DATASET`, `ALL` or `NONE`.
            dataset_scope: Scope of the dataset; by default `user.ACCOUNT` if the
                account has it, and otherwise that of the files.
            per_item: One rule for each item, over all its registered assets.

        Returns:
            The rules, as they are now.

        Raises:
            StacRucioError: An asset is not registered, Rucio refuses a rule, the account's
                limits are too small, or an equal rule differs from what is wanted.
        """
        require_count("copies", copies)
        options = {
            "rse_expression": rse_expression,
            "copies": copies,
            "lifetime": _lifetime(lifetime_s),
            "activity": activity,
            "comment": comment,
            "grouping": grouping,
        }
        if per_item:
            if assets is not None or dataset_scope is not None:
                raise ConfigurationError(
                    "per_item makes rules over whole items; it goes with neither assets nor "
                    "dataset_scope"
                )
            datasets = dict.fromkeys(dataset for _, dataset in self._dids(items, None))
            require_any(len(datasets))
            return ReplicationRules(make_rules(self._rucio, datasets, options))
        files = {did for did, _ in self._dids(items, assets)}
        require_any(len(files))
        return ReplicationRules([make_rule_over_files(self._rucio, files, dataset_scope, options)])

    def replication_availability(
        self, items: ItemsLike, *, assets: AssetSelection = None
    ) -> ReplicationAvailability:
        """Return how much of each item is at each RSE.

        Args:
            items: The items.
            assets: The assets, as in `create_replicas`.

        Returns:
            A row for each item and RSE.

        Raises:
            StacRucioError: Rucio or the STAC API does not answer.
        """
        return ReplicationAvailability(
            replication_availability(self._rucio, self._read(items), assets, self._scope)
        )

    def replication_rules(
        self,
        rules: RulesLike | None = None,
        *,
        over: ItemsLike | None = None,
        assets: AssetSelection = None,
    ) -> ReplicationRules:
        """Ask Rucio for replication rules: some, those over items, or those of the account.

        Args:
            rules: The rules, or their ids.
            over: Items; then the rules of all accounts over any of their files, or over what
                these are in.
            assets: The assets of these items, as in `create_replicas`.

        Returns:
            The rules, as they are now.

        Raises:
            ConfigurationError: There is no rule with one of these ids, or assets are given and
                no items.
        """
        if over is None and assets is not None:
            raise ConfigurationError("assets are those of items, which over= gives")
        if rules is None and over is None:
            return ReplicationRules(rules_of_account(self._rucio))
        ids = dict.fromkeys(rule_ids(rules) if rules is not None else ())
        found = [get_rule(self._rucio, rule_id) for rule_id in ids]
        if over is not None:
            files = [did for did, _ in self._dids(over, assets)]
            found += (rule for rule in rules_over(self._rucio, files) if rule.id not in ids)
        return ReplicationRules(found)

    def extend_replication_rules(self, rules: RulesLike, lifetime_s: int | None) -> None:
        """Let rules end later, or earlier.

        Args:
            rules: The rules, or their ids.
            lifetime_s: Seconds from now until they end; None if they shall not.

        Raises:
            ConfigurationError: There is no rule with one of these ids.
        """
        for rule_id in rule_ids(rules):
            extend_rule(self._rucio, rule_id, _lifetime(lifetime_s))

    def rule_status(self, rules: RulesLike, *, by_item: bool = False) -> RuleStatus:
        """Return how far rules have come, and which files are stuck and why.

        It costs what is not done: two requests for a rule, whatever the number of its files.

        Args:
            rules: The rules, or their ids.
            by_item: Say it of each item at each RSE, for which Rucio lists every copy.

        Returns:
            A row for each rule; by item, for each rule, item and RSE.

        Raises:
            ConfigurationError: There is no rule with one of these ids.
            StacRucioError: Rucio does not answer.
        """
        return RuleStatus(
            row
            for rule_id in rule_ids(rules)
            for row in rule_status(self._rucio, rule_id, by_item=by_item)
        )

    def wait(
        self,
        rules: RulesLike,
        *,
        timeout_s: float = DAY_S,
        poll_s: float = 5.0,
        through_stuck: bool = False,
        on_update: Callable[[ReplicationRules], None] | None = None,
    ) -> ReplicationRules:
        """Follow rules until none will change by itself any more, or until the time is over.

        A rule is OK if Rucio has just said so, and each of its files is where it shall be. It
        will not change if it is OK, STUCK, SUSPENDED, INCOMPLETE or GONE (`Rule` says what that
        is); one that ends does not end the wait for the others. While Rucio does not answer,
        waiting goes on. Rucio is asked once for all rules of an account, unless it made more than
        ten times as many in the same time.

        Args:
            rules: The rules, or their ids.
            timeout_s: How long to follow them, in seconds.
            poll_s: How long to wait before asking again, in seconds; a fifth more each time, up
                to a minute.
            through_stuck: Wait also for rules that are STUCK: Rucio tries to repair them for
                14 days.
            on_update: Called with the rules when they have changed; printed, they are a line. By
                default, and beside a `History`, they are shown in terminals and notebooks.

        Returns:
            The rules as they were in the end; look at their `state`.

        Raises:
            ConfigurationError: There is no rule with any of these ids.
            StacRucioError: Rucio does not answer at first, or when the time is over.
        """
        history = on_update if isinstance(on_update, History) else None
        with watching(None if history else on_update) as shown:
            return wait_for_rules(
                self._rucio,
                rules,
                timeout_s=timeout_s,
                poll_s=poll_s,
                through_stuck=through_stuck,
                on_update=history.beside(shown) if history else shown,
            )

    def retry_replication_rules(self, rules: RulesLike) -> None:
        """Let Rucio try the stuck files of rules again as soon as its judge-repairer comes by.

        By itself it does so every 2 hours on the first day, every 4 on the second, every 6 on
        the third, and then every 8. Rucio's generic permissions let administrators alone.

        Args:
            rules: The rules, or their ids.

        Raises:
            ConfigurationError: There is no rule with one of these ids.
            StacRucioError: The account may not, or Rucio does not answer.
        """
        for rule_id in rule_ids(rules):
            retry_rule(self._rucio, rule_id)

    def delete_replication_rules(
        self, rules: RulesLike, *, at_once: bool = False, purge: bool = False
    ) -> None:
        """Delete rules; Rucio may then delete the copies that no other rule wants.

        It does when it needs their space, at once at RSEs with the attribute
        `greedyDeletion`, and those of purged rules.

        Args:
            rules: The rules, or their ids; those that are gone already are no error.
            at_once: Skip Rucio's one-hour grace period.
            purge: Let Rucio delete the copies as soon as the rules have gone.

        Raises:
            StacRucioError: The account may not, or Rucio does not answer.
        """
        for rule_id in rule_ids(rules):
            delete_rule(self._rucio, rule_id, at_once=at_once, purge=purge)

    def download(
        self,
        items: ItemsLike,
        folder: Path | str,
        *,
        rse: str | None = None,
        prefer: Prefer = (),
        assets: AssetSelection = None,
        only_available: bool = False,
        workers: int = 8,
        mounts: Prefixes | None = None,
        pays: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Downloads:
        """Download assets to `FOLDER/COLLECTION/ITEM/ASSET`, verified, as a catalogue of their own.

        Valid files are kept; interrupted downloads resume.

        Args:
            items: The items.
            folder: Where to; made if it is missing.
            rse: The only RSE to download from. By default the best replica is
                taken, and the others in turn when one fails.
            prefer: The preferred replicas, as in `Modifier.with_options`; the others come
                after them.
            assets: The assets, as in `create_replicas`.
            only_available: Take what is there: an asset without a replica is
                skipped, and has not failed.
            workers: How many files are downloaded at the same time.
            mounts: Where storages are mounted here, or a gateway serves them, as in
                `Modifier.with_options`; files are copied from there first.
            pays: Download also what the requester pays for, with your keys of AWS.
            on_progress: As in `create_replicas`.

        Returns:
            What became of each asset, and the catalogue of the local files.

        Raises:
            StacRucioError: An RSE does not exist, the folder cannot be written,
                or Rucio or the STAC API does not answer.
        """
        from stac_client._downloads import download  # needs a POSIX system

        with watching(on_progress) as shown:
            return download(
                self._rucio,
                self._read(items),
                folder,
                rse=rse,
                prefer=prefer,
                site=self._site,
                assets=assets,
                scope=self._scope,
                only_available=only_available,
                workers=workers,
                mounts=mounts,
                credentials=Credentials(pays=pays, headers=self._headers),
                on_progress=shown,
            )

    def _read(self, items: ItemsLike, part: Partition = _WHOLE) -> Iterator[ItemDict]:
        read = iter_items(items, self._completion, part)
        return self._told(read) if self._completion.unneeded else read

    def _told(self, items: Iterator[ItemDict]) -> Iterator[ItemDict]:
        """Pass items on, and warn of what was given for them and none of them needs."""
        came = False
        for item in items:
            came = True
            yield item
        if came and (unneeded := self._completion.unneeded):
            names = " and ".join(sorted(unneeded))
            text = f"{names} of StacClient: not needed by any item, so without effect"
            warnings.warn(text, ItemsWarning, stacklevel=3)

    def _dids(
        self, items: ItemsLike | Registration, selection: AssetSelection
    ) -> Iterator[tuple[DID, DID]]:
        """The file and the dataset of each asset."""
        if isinstance(items, Registration):
            yield from items.dids_with_datasets
            return
        yield from without_lost(self._rucio, registrable(self._read(items), selection, self._scope))


def _lifetime(value: int | None) -> int | None:
    if value is not None and not (isinstance(value, (int, float)) and value > 0):
        raise ConfigurationError(f"lifetime_s is {value!r}, neither seconds nor None")
    return value


def _probe(value: Probe | str) -> Probe:
    try:
        return Probe(value)
    except ValueError:
        choices = ", ".join(repr(choice.value) for choice in Probe)
        raise ConfigurationError(f"probe is {value!r}, but can be {choices}") from None
