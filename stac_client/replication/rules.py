"""Replication rules over selected files: made, followed, deleted."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rucio.common.exception import (
    DataIdentifierAlreadyExists,
    DataIdentifierNotFound,
    DuplicateRule,
    RuleNotFound,
)

from stac_client.errors import ConfigurationError, RequestError, rucio_errors
from stac_client.requests_in_bulk import batched
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rucio.client import Client

_ASYNCHRONOUS_FROM = 1000  # files; above it Rucio may take longer than a request may

_ATTACHMENTS = 20  # of up to 1,000 files each, in one request


@dataclass(frozen=True)
class Rule:
    """A replication rule, as it was when Rucio was asked."""

    id: str
    did: DID
    """What it is over."""
    rse_expression: str
    copies: int
    state: str
    """OK, REPLICATING, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT."""
    locks_ok: int
    """Files that are where they shall be."""
    locks_replicating: int
    locks_stuck: int
    error: str | None
    """Why it is stuck, if it is."""


@dataclass(frozen=True)
class Wanted:
    """What a new rule shall be like."""

    rse_expression: str
    copies: int
    lifetime_s: int | None
    """Seconds until it ends; None: it does not."""
    activity: str | None
    comment: str | None
    grouping: str
    """DATASET, ALL or NONE: what is kept together at an RSE."""


class Rules:
    """The replication rules of an account."""

    def __init__(self, client: Client) -> None:
        """Make one.

        Args:
            client: A Rucio client of the account that shall own the rules.
        """
        self._client = client

    def over_files(self, files: Collection[DID], wanted: Wanted, scope: str | None) -> Rule:
        """Make one rule over one dataset that holds the files.

        The dataset is named from its content: the same files again, and an
        equal rule, give the rule that is there.

        Raises:
            StacRucioError: A file is not registered, the scope is not the
                account's, or Rucio refuses the rule.
        """
        dataset = DID(scope or self._own_scope(files), selection_name(files))
        self._fill(dataset, files)
        return self.over(dataset, wanted, asynchronous=len(files) > _ASYNCHRONOUS_FROM)

    def over(self, did: DID, wanted: Wanted, *, asynchronous: bool = False) -> Rule:
        """Make a rule over a DID, or give the equal one that is there.

        Raises:
            StacRucioError: There is no such DID, or Rucio refuses the rule.
        """
        try:
            with rucio_errors(f"creating a rule over {did} to {wanted.rse_expression}"):
                (rule_id,) = self._client.add_replication_rule(
                    [did._asdict()],
                    copies=wanted.copies,
                    rse_expression=wanted.rse_expression,
                    lifetime=wanted.lifetime_s,
                    activity=wanted.activity,
                    comment=wanted.comment,
                    grouping=wanted.grouping,
                    asynchronous=asynchronous,
                )
        except RequestError as error:
            if not isinstance(error.__cause__, DuplicateRule):
                raise
            return self._equal(did, wanted)
        if asynchronous:  # it is as Rucio puts it aside for its judge-injector
            expression, copies = wanted.rse_expression, wanted.copies
            return Rule(rule_id, did, expression, copies, "INJECT", 0, 0, 0, error=None)
        return self.get(rule_id)

    def get(self, rule_id: str) -> Rule:
        """Ask Rucio for a rule.

        Raises:
            StacRucioError: There is none with this id, or Rucio can not be reached.
        """
        with rucio_errors(f"asking for rule {rule_id}"):
            return _rule(self._client.get_replication_rule(rule_id))

    def known(self, rule_id: str) -> Rule:
        """Ask Rucio for a rule that somebody has named.

        Raises:
            ConfigurationError: There is none with this id.
            StacRucioError: Rucio can not be reached.
        """
        try:
            return self.get(rule_id)
        except RequestError as error:
            if not isinstance(error.__cause__, RuleNotFound):
                raise
            raise ConfigurationError(f"there is no rule {rule_id}") from error

    def wait(
        self,
        rules: Iterable[Rule],
        *,
        timeout_s: float,
        poll_s: float,
        on_update: Callable[[Sequence[Rule]], None],
    ) -> list[Rule]:
        """Ask for rules until all are OK, or the time is over; gives them as they are then.

        Raises:
            StacRucioError: A rule has gone, or Rucio can not be reached.
        """
        deadline = time.monotonic() + timeout_s
        latest = list(rules)
        while True:
            latest = [rule if rule.state == "OK" else self.get(rule.id) for rule in latest]
            on_update(latest)
            remaining_s = deadline - time.monotonic()
            if all(rule.state == "OK" for rule in latest) or remaining_s <= 0:
                return latest
            time.sleep(min(poll_s, remaining_s))

    def delete(self, rules: Iterable[Rule], *, at_once: bool) -> None:
        """Delete rules.

        Args:
            rules: The rules; those that are gone already are no error.
            at_once: As soon as Rucio's judge-cleaner comes by, instead of after
                the hour that Rucio leaves for a change of mind.

        Raises:
            StacRucioError: The account may not, or Rucio can not be reached.
        """
        for rule in rules:
            try:
                with rucio_errors(f"deleting rule {rule.id} over {rule.did}"):
                    if at_once:
                        self._client.update_replication_rule(rule.id, {"lifetime": 0})
                    else:
                        self._client.delete_replication_rule(rule.id)
            except RequestError as error:
                if not isinstance(error.__cause__, RuleNotFound):
                    raise

    def _own_scope(self, files: Collection[DID]) -> str:
        """The scope for a dataset of the account's own: by Rucio's convention `user.ACCOUNT`."""
        account = self._client.account
        with rucio_errors(f"asking for the scopes of account {account}"):
            scopes = self._client.list_scopes_for_account(account)
        personal = f"user.{account}"
        return personal if personal in scopes else min(files).scope

    def _fill(self, dataset: DID, files: Collection[DID]) -> None:
        """Make a dataset with these files, or see to it that the one that is there has them."""
        first, *others = batched(sorted(files))
        try:
            if not self._add_dataset(dataset, first):
                others = [first, *others]
            attachments = [
                {**dataset._asdict(), "dids": [did._asdict() for did in batch]} for batch in others
            ]
            for several in batched(attachments, _ATTACHMENTS):
                with rucio_errors(f"attaching files to {dataset}"):
                    self._client.attach_dids_to_dids(several, ignore_duplicate=True)
        except RequestError as error:
            if not isinstance(error.__cause__, DataIdentifierNotFound):
                raise
            raise RequestError(
                f"{error} Register the assets first, with create_replicas"
            ) from error

    def _add_dataset(self, dataset: DID, files: Collection[DID]) -> bool:
        """Add a dataset with its files in one request; tells whether it was new."""
        try:
            with rucio_errors(f"making the dataset {dataset} (scope= chooses another scope)"):
                self._client.add_dataset(
                    dataset.scope, dataset.name, files=[did._asdict() for did in files]
                )
        except RequestError as error:
            if not isinstance(error.__cause__, DataIdentifierAlreadyExists):
                raise
            return False
        return True

    def _equal(self, did: DID, wanted: Wanted) -> Rule:
        with rucio_errors(f"asking for the rules over {did}"):
            for found in self._client.list_did_rules(did.scope, did.name):
                rule = _rule(found)
                same = (wanted.rse_expression, wanted.copies) == (rule.rse_expression, rule.copies)
                if same and found["account"] == self._client.account:
                    return rule
        raise RequestError(
            f"the rule over {did} to {wanted.rse_expression} has just gone; try again"
        )


def selection_name(files: Collection[DID]) -> str:
    """Name a dataset from the files that it holds, in any order."""
    digest = hashlib.sha256("\n".join(sorted(map(str, files))).encode())
    return f"stac-selection-{digest.hexdigest()[:32]}"


def _rule(entry: dict[str, Any]) -> Rule:
    return Rule(
        id=entry["id"],
        did=DID(entry["scope"], entry["name"]),
        rse_expression=entry["rse_expression"],
        copies=entry["copies"],
        state=entry["state"],
        locks_ok=entry["locks_ok_cnt"],
        locks_replicating=entry["locks_replicating_cnt"],
        locks_stuck=entry["locks_stuck_cnt"],
        error=entry["error"],
    )
