"""Replication rules as they are wanted: made, or found and brought to what is wanted."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal
from rucio.common.exception import (
    AccessDenied,
    DatabaseException,
    DataIdentifierAlreadyExists,
    DataIdentifierNotFound,
    DuplicateRule,
    InsufficientAccountLimit,
    InvalidObject,
    RucioException,
    RuleNotFound,
    ScopeNotFound,
)

from stac_client._rucio import account_attributes, batched
from stac_client._rucio_errors import details
from stac_client._rules import (
    MOST_ON_SQLITE,
    ON_SQLITE,
    PUT_ASIDE,
    Rule,
    judged,
    selection_name,
    utc,
)
from stac_client.errors import (
    AccessError,
    ConfigurationError,
    RequestError,
    StacRucioError,
)
from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rucio.client import Client

    from stac_client._rucio import Rucio

    Options = Mapping[str, Any]
    """As `Client.add_replication_rule` takes them."""

_ASYNCHRONOUS_FROM = 1000  # files; above it Rucio may take longer than a request may
_NO_SCOPE = (AccessDenied, InvalidObject, ScopeNotFound)  # what says that it is not the account's
_ATTACHMENTS = 20  # of up to 1,000 files each, in one request
_RUNNING = "SOURCES_REQ_ID_FK"  # by which databases refuse that what is submitted is taken back
_EQUAL_PART = 0.01  # of a lifetime: by so much an equal rule may end earlier or later
_EQUAL_S = 60.0  # the same for short ones


class RuleWarning(UserWarning):
    """A rule that was there already keeps its copies for longer than was asked for."""


def require_any(files: int) -> None:
    """Check that there is something to make rules over.

    Raises:
        ConfigurationError: There is nothing.
    """
    if not files:
        raise ConfigurationError("no assets are selected, so there is nothing to replicate")


def make_rule_over_files(
    rucio: Rucio, files: Collection[DID], scope: str | None, options: Options
) -> Rule:
    """Create one rule over one dataset that holds the files.

    The dataset is named from its content: the same files again, and an
    equal rule, give the rule that is there.

    Raises:
        StacRucioError: A file is not registered, the scope is not the
            account's, or Rucio refuses the rule.
    """
    # By Rucio's convention most accounts have a scope of this name; it is not asked for.
    dataset = DID(scope or f"user.{rucio.account}", selection_name(files))
    try:
        _fill(rucio, dataset, files)
    except StacRucioError as error:
        if scope or not isinstance(error.__cause__, _NO_SCOPE):
            raise
        dataset = dataset._replace(scope=min(files).scope)
        _fill(rucio, dataset, files)
    transfers = len(files) * int(options["copies"])
    try:
        is_large = len(files) > _ASYNCHRONOUS_FROM
        return make_rule(rucio, dataset, {**options, "asynchronous": is_large})
    except RequestError as error:
        if transfers > MOST_ON_SQLITE and isinstance(error.__cause__, DatabaseException):
            error.hint = ON_SQLITE
        raise


def make_rule(rucio: Rucio, did: DID, options: Options) -> Rule:
    """Create a rule over a DID, or bring the one that is there to what is wanted, and return it.

    For Rucio a rule of the account with the same RSE expression and number of copies is the same,
    however soon it ends and whatever else it says.

    Args:
        rucio: Rucio.
        did: What it shall be over.
        options: What is wanted.

    Raises:
        StacRucioError: There is no such DID, Rucio refuses the rule, or the one that is there
            cannot be brought to what is wanted; the message says what differs.
    """
    doing = f"creating a rule over {did} to {options['rse_expression']}"

    def request(client: Client) -> Rule:
        if options.get("asynchronous") and _may_exceed(client, did, options):
            _require_quota(client, did, options)
        try:
            (rule_id,) = client.add_replication_rule([did._asdict()], **options)
        except DuplicateRule:
            return _brought(client, doing, did, options)
        except InsufficientAccountLimit:
            _require_quota(client, did, options)
            raise
        except InvalidObject as error:  # as an activity is that the server has not
            raise ConfigurationError(f"{doing}: {details(error)}") from error
        if options.get("asynchronous"):  # as Rucio puts it aside for its judge-injector
            ends = _end(options["lifetime"], datetime.now(timezone.utc))
            expression, copies = options["rse_expression"], options["copies"]
            return Rule(
                *(rule_id, did, expression, copies, "INJECT", 0, 0, 0, PUT_ASIDE, ends),
                account=client.account,
            )
        return judged(client, client.get_replication_rule(rule_id))

    with rucio.naming(options["rse_expression"]):
        return rucio.ask(doing, request)


def make_rules(rucio: Rucio, dids: Collection[DID], options: Options) -> list[Rule]:
    """Create a rule over each of many DIDs, as `make_rule` does; one that fails stops no other.

    Raises:
        StacRucioError: Rules could not be made; the others are.
    """
    made, failed = [], []
    for did in dids:
        try:
            made.append(make_rule(rucio, did, options))
        except (AccessError, RequestError) as error:
            failed.append(error)
    if failed:
        first = failed[0]
        others = f" ({len(failed):,} of {len(dids):,} rules failed, the others are made)"
        text = f"{first.message}{others if len(dids) > 1 else ''}"
        raise type(first)(text, hint=first.hint, transient=first.transient) from first
    return made


def _brought(client: Client, doing: str, did: DID, options: Options) -> Rule:
    """Return the rule that Rucio calls a duplicate of the one that is wanted, made equal to it."""
    same = {name: options[name] for name in ("rse_expression", "copies")}
    same["account"] = client.account
    entries = list(client.list_did_rules(did.scope, did.name))  # read to its end, to be closed
    entry = next((entry for entry in entries if entry.items() >= same.items()), None)
    if entry is None:
        raise _passing(f"{doing}: the one that was there has just gone")
    rule, now = judged(client, entry), datetime.now(timezone.utc)
    if rule.expires_at is not None and rule.expires_at <= now:
        raise _passing(f"{doing}: rule {rule.id} has ended, and Rucio has not removed it yet")
    there = f"{doing}: rule {rule.id} is there already"
    if rule.state == "SUSPENDED":
        hint = "have it deleted, and ask again"
        raise RequestError(f"{there}, but SUSPENDED: {rule.error}", hint=hint)
    found = differences(entry, options, now)
    said = "; ".join(difference.said for difference in found)
    if any(difference.mend is None and not difference.bearable for difference in found):
        hint = "delete it first, or ask for what it has"
        raise RequestError(f"{there}, but {said}", hint=hint)
    mended = {key: value for each in found for key, value in (each.mend or {}).items()}
    if mended:
        rule = _mended(client, rule, mended, f"{there}, but {said}")
    for difference in found:
        if difference.bearable:
            warnings.warn(f"{there}: {difference.said}", RuleWarning, stacklevel=2)
    return rule


def _mended(client: Client, rule: Rule, options: Options, but: str) -> Rule:
    """Change a rule that is there, and return it."""
    try:
        client.update_replication_rule(rule.id, options)
        return judged(client, client.get_replication_rule(rule.id))
    except RuleNotFound:
        raise _passing(f"{but}, and it has just gone") from None
    except AccessDenied as error:
        hint = "ask an administrator of this Rucio to change it"
        text = f"{but}, and account {client.account} may not change it"
        raise AccessError(text, hint=hint) from error
    except RucioException as error:
        if _RUNNING not in str(error).upper():
            raise
        text = f"{but}, which Rucio cannot change while its transfers are on their way"
        raise _passing(text) from error


def _passing(text: str) -> RequestError:
    return RequestError(text, hint="try again in a few minutes", transient=True)


# What of a rule that is there differs from what is wanted.


@dataclass(frozen=True)
class Difference:
    """In what a rule differs from the one that is wanted."""

    said: str
    mend: Mapping[str, Any] | None = None
    """What to change in it, as `Client.update_replication_rule` takes it, if it can be changed."""
    bearable: bool = False
    """Whether it does more than is wanted, and stays as it is."""


def differences(entry: Mapping[str, Any], wanted: Options, now: datetime) -> list[Difference]:
    """Return in what a rule differs from the one that is wanted.

    Args:
        entry: The rule, as Rucio describes it.
        wanted: What is wanted; None stands for whatever Rucio takes, a `lifetime` of None for
            no end.
        now: The time in UTC.
    """
    found = [_differ_in_end(utc(entry["expires_at"]), wanted.get("lifetime"), now)]
    found += [differ(entry, wanted[name]) for name, differ in _DIFFER.items() if wanted.get(name)]
    return [difference for difference in found if difference is not None]


def _differ_in_end(
    ends: datetime | None, lifetime_s: int | None, now: datetime
) -> Difference | None:
    wanted = _end(lifetime_s, now)
    if ends == wanted:
        return None
    said = f"its end is {_time(ends)} (wanted: {_time(wanted)})"
    if ends is None:
        return Difference(said, bearable=True)
    if wanted is None or lifetime_s is None:
        return Difference(said, {"lifetime": None})
    spare_s = max(lifetime_s * _EQUAL_PART, min(_EQUAL_S, lifetime_s / 2))
    longer_s = (ends - wanted).total_seconds()
    if longer_s < -spare_s:
        return Difference(said, {"lifetime": lifetime_s})
    return Difference(said, bearable=True) if longer_s > spare_s else None


def _end(lifetime_s: int | None, now: datetime) -> datetime | None:
    return None if lifetime_s is None else now + timedelta(seconds=lifetime_s)


def _time(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _differ_in_activity(entry: Mapping[str, Any], wanted: str) -> Difference | None:
    said = f"its activity is {entry['activity']!r} (wanted: {wanted!r})"
    return None if entry["activity"] == wanted else Difference(said, {"activity": wanted})


def _differ_in_comment(entry: Mapping[str, Any], wanted: str) -> Difference | None:
    said = f"its comment is {entry['comments']!r} (wanted: {wanted!r})"
    return None if entry["comments"] == wanted else Difference(said, {"comment": wanted})


def _differ_in_grouping(entry: Mapping[str, Any], wanted: str) -> Difference | None:
    there = entry["grouping"]
    # Over a single dataset the other two are the same.
    same = (there == "NONE") == (wanted == "NONE")
    return None if same else Difference(f"its grouping is {there} (wanted: {wanted})")


_DIFFER: Mapping[str, Callable[[Mapping[str, Any], Any], Difference | None]] = {
    "activity": _differ_in_activity,
    "comment": _differ_in_comment,
    "grouping": _differ_in_grouping,
}


# Limits of the account.


def _may_exceed(client: Client, did: DID, options: Options) -> bool:
    """Return whether a rule exceeds any limit of the account, whichever RSEs that is for.

    Limits of which nothing is left do not count: Rucio does not put what they forbid aside.
    """
    account = client.account
    usages = [*client.get_local_account_usage(account), *client.get_global_account_usage(account)]
    left = [each["bytes_remaining"] for each in usages if each["bytes_remaining"] > 0]
    least = min(left, default=math.inf)
    return least < math.inf and least <= _size_bytes(client, did) * options["copies"]


def _size_bytes(client: Client, did: DID) -> int:
    return int(client.get_did(*did, dynamic_depth="FILE")["bytes"] or 0)


def _require_quota(client: Client, did: DID, options: Options) -> None:
    """Raise an error if a rule is sure to exceed the limits of the account.

    Rucio refuses it then; or, where it works on it by itself, suspends it without a word.
    """
    left = left_of_limits(client, options["rse_expression"])
    if min(left.values(), default=0) == math.inf:
        return
    size_bytes = _size_bytes(client, did)
    if not fits(size_bytes, options["copies"], list(left.values()), options["grouping"]):
        few = {rse: max(0, int(each)) for rse, each in sorted(left.items()) if each < math.inf}
        has = ", ".join(f"{decimal(each)} at {rse}" for rse, each in few.items())
        raise AccessError(
            f"a rule over {did} to {options['rse_expression']} needs {decimal(size_bytes)} for "
            f"each of {options['copies']} copies, and account {client.account} has left: {has}",
            hint="ask an administrator of this Rucio for a higher account limit",
        )


def left_of_limits(client: Client, rse_expression: str) -> dict[str, float]:
    """Return how many bytes an account may still have at RSEs, infinity where it has no limit."""
    rses = [entry["rse"] for entry in client.list_rses(rse_expression)]
    account = client.account
    if account_attributes(client, account).get("admin"):
        return dict.fromkeys(rses, math.inf)
    left = dict.fromkeys(rses, 0.0)  # where nothing was granted, an account may have nothing
    for usage in client.get_local_account_usage(account):
        if usage["rse"] in left:
            left[usage["rse"]] = usage["bytes_remaining"]
    for usage in client.get_global_account_usage(account):
        for entry in client.list_rses(usage["rse_expression"]):
            if entry["rse"] in left:
                left[entry["rse"]] = min(left[entry["rse"]], usage["bytes_remaining"])
    return left


def fits(size_bytes: int, copies: int, left: Sequence[float], grouping: str) -> bool:
    """Return whether copies may fit into what is left of limits.

    Args:
        size_bytes: Size of a copy.
        copies: How many copies, each at another RSE.
        left: What is left at each RSE, in bytes.
        grouping: NONE if the files of a copy may lie at several RSEs.
    """
    if grouping == "NONE":
        return sum(max(0, each) for each in left) > size_bytes * copies
    return sum(each > size_bytes for each in left) >= copies


# The dataset that holds the files.


def _fill(rucio: Rucio, dataset: DID, files: Collection[DID]) -> None:
    """Create a dataset with these files, or see to it that the one that is there has them."""
    first, *others = ([did._asdict() for did in batch] for batch in batched(sorted(files)))

    def add(client: Client) -> bool:
        client.add_dataset(dataset.scope, dataset.name, files=first)
        return True

    try:
        if not rucio.ask_unless(f"making the dataset {dataset}", add, DataIdentifierAlreadyExists):
            others = [first, *others]
        attachments = [{**dataset._asdict(), "dids": batch} for batch in others]
        for several in batched(attachments, _ATTACHMENTS):
            attach = methodcaller("attach_dids_to_dids", several, ignore_duplicate=True)
            rucio.ask(f"attaching files to {dataset}", attach)
    except StacRucioError as error:
        if isinstance(error.__cause__, DataIdentifierNotFound):
            error.hint = "register the assets first, with create_replicas"
        else:
            error.hint = f"{error.hint}; dataset_scope= chooses another scope".lstrip("; ")
        raise
