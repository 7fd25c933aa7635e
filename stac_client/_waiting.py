"""Replication rules that are followed until none will change by itself."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from stac_client._rules import (
    ENDED,
    ReplicationRules,
    Rule,
    RulesNow,
    confirm,
    existing,
    find_rule,
    listed_rules,
    rule_ids,
)
from stac_client.errors import StacRucioError, UnreachableError
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from stac_client._rucio import Rucio
    from stac_client._rules import RulesLike

_LOGGER = logging.getLogger(__name__)
_UNKNOWN = DID("", "")
_DONE = ("OK", "GONE")
_LONGEST_PAUSE_S = 60.0  # between two questions
_PAUSES_GROW = 1.2


def wait_for_rules(
    rucio: Rucio,
    rules: RulesLike,
    *,
    timeout_s: float,
    poll_s: float,
    through_stuck: bool,
    on_update: Callable[[ReplicationRules], None] | None,
) -> ReplicationRules:
    """Follow rules as `StacClient.wait` does, which says what the arguments mean."""
    followed = _Followed(rucio, rules, time.monotonic() + timeout_s)
    ids, latest = followed.ids, followed.latest
    unanswered = followed.ask(ids)
    if unanswered is not None:
        raise unanswered
    if ids and all(rule.did == _UNKNOWN for rule in latest.values()):
        existing(None, ids[0])
    asked, told = ids, None
    longest_s = max(_LONGEST_PAUSE_S, poll_s)
    while True:
        if on_update is not None and unanswered is None:
            now = RulesNow(latest[rule_id] for rule_id in ids)
            if now != told:
                on_update(told := now)
        remaining_s = followed.remaining_s
        over = all(_is_over(latest[rule_id], through_stuck=through_stuck) for rule_id in ids)
        if unanswered is not None and remaining_s <= 0:
            raise unanswered
        if unanswered is None and (over or remaining_s <= 0):
            if len(asked) == len(ids):
                return ReplicationRules(latest[rule_id] for rule_id in ids)
            asked = ids  # what was OK earlier may be gone by now
        else:
            time.sleep(min(poll_s, remaining_s))
            poll_s = min(poll_s * _PAUSES_GROW, longest_s)
            asked = ids if over else [each for each in ids if latest[each].state not in _DONE]
        unanswered = followed.ask(asked)


def _is_over(rule: Rule, *, through_stuck: bool) -> bool:
    return rule.state in {"OK", *ENDED} or (rule.state == "STUCK" and not through_stuck)


class _Followed:
    """Rules as Rucio has last described them."""

    def __init__(self, rucio: Rucio, rules: RulesLike, deadline: float) -> None:
        given = [rules] if isinstance(rules, (Rule, str)) else list(rules)
        self.ids = list(dict.fromkeys(rule_ids(given)))
        self.latest = {rule.id: rule for rule in given if isinstance(rule, Rule)}
        self._rucio = rucio
        self._deadline = deadline
        self._crowded: set[str] = set()
        """Accounts with too many other rules to list them."""

    @property
    def remaining_s(self) -> float:
        """How much is left of the time, in seconds."""
        return max(0.0, self._deadline - time.monotonic())

    def ask(self, ids: Iterable[str]) -> StacRucioError | None:
        """Bring rules up to date; return the error of a server that did not answer.

        The rules of an account are listed at once. What the list has not, or what is of an account
        that has too many others, is asked for by its id.

        Raises:
            StacRucioError: The server refuses to answer.
        """
        left, listed = dict.fromkeys(ids), set(self._crowded)
        try:
            for rule_id in [*left]:
                if rule_id in left:
                    self._list(self.latest.get(rule_id), left, listed)
                if rule_id in left:
                    self._list(self._ask_for(rule_id, left), left, listed)
        except StacRucioError as error:
            if not error.transient and not isinstance(error, UnreachableError):
                raise
            _LOGGER.warning("%s", error)
            return error
        return None

    def _ask_for(self, rule_id: str, left: dict[str, None]) -> Rule:
        rule = find_rule(self._rucio, rule_id, within_s=self.remaining_s)
        del left[rule_id]
        self.latest[rule_id] = rule or _gone(rule_id, self.latest.get(rule_id))
        return self.latest[rule_id]

    def _list(self, like: Rule | None, left: dict[str, None], listed: set[str]) -> None:
        """Ask at once for all rules that are left and may be of the account of a known one."""
        if like is None or like.created_at is None or like.account in listed:
            return
        listed.add(like.account)
        known = {rule_id: self.latest[rule_id] for rule_id in left if rule_id in self.latest}
        own = [rule for rule in known.values() if rule.account == like.account]
        count = len(left) - len(known) + len(own)
        if count < 2:  # noqa: PLR2004 - one rule is asked for by its id
            return
        dates = [*filter(None, (rule.created_at for rule in (like, *own)))]
        filters = {"account": like.account, "created_after": _as_rucio(min(dates))}
        if len(known) == len(left):
            filters["created_before"] = _as_rucio(max(dates) + timedelta(seconds=1))
        doing = f"listing the rules of account {like.account}"
        found = listed_rules(self._rucio, doing, filters, count, within_s=self.remaining_s)
        if found is None:
            self._crowded.add(like.account)
            return
        for rule in found:
            if rule.id in left:
                self.latest[rule.id] = confirm(self._rucio, rule, within_s=self.remaining_s)
                del left[rule.id]


def _as_rucio(moment: datetime) -> str:
    """A time as Rucio's filters want it, whose locale changes no names of days and months."""
    return format_datetime(moment, usegmt=True).replace("GMT", "UTC")


def _gone(rule_id: str, known: Rule | None) -> Rule:
    rule = known or Rule(rule_id, _UNKNOWN, "", 0, "GONE", 0, 0, 0, error=None)
    return replace(rule, state="GONE", error="Rucio has no such rule: it has ended or was deleted")
