"""The protocol of a source RSE: whole URLs of a catalogue, read only.

A source RSE is non-deterministic and has no storage of its own. Rucio's stock
protocols give it one host for each scheme, need a port, drop the query string
and collapse `//`; this one keeps every URL byte for byte.

    rucio rse protocol add --scheme https --host-name localhost --port 443 \
        --impl stac_policy.protocol.Default …
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from rucio.common.config import is_client
from rucio.common.exception import (
    DestinationNotAccessible,
    RSEAccessDenied,
    RSEFileNameNotSupported,
    RSENotConnected,
    RSEOperationNotSupported,
    ServiceUnavailable,
    SourceNotFound,
)
from rucio.rse.protocols.protocol import RSEProtocol

from stac_policy import bodies, http
from stac_policy.credentials import Credentials
from stac_policy.gateway import Claim, make_url, read_keys
from stac_policy.observability import Reporter, count
from stac_policy.settings import known_origins, settings
from stac_policy.urls import redact, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests

_REPORTER = Reporter(logging.getLogger(__name__))
_DAY_S = 86_400
_MISSING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Default(RSEProtocol):  # type: ignore[misc] # rucio has no types
    """One source RSE for all the HTTP origins of a catalogue."""

    _session: requests.Session | None = None

    def parse_pfns(self, pfns: Iterable[str] | str) -> dict[str, dict[str, Any]]:
        """Split PFNs so that Rucio stores each whole, as the path of its replica.

        Raises:
            RSEFileNameNotSupported: A URL cannot be registered; see
                `stac_policy.urls.refusal`.
        """
        parsed = {}
        for pfn in [pfns] if isinstance(pfns, str) else pfns:
            if reason := refusal(pfn, settings().allowed_hosts):
                count("refused_urls", where="rse")
                _REPORTER.warn(
                    "refused",
                    "RSE %s refuses %s: %s. If the catalogue is right, an administrator can allow "
                    "the host in [stac] allowed_hosts; all else is for the catalogue to mend",
                    self.rse["rse"],
                    redact(pfn),
                    reason,
                )
                raise RSEFileNameNotSupported(f"{redact(pfn)}: {reason}")
            parts = urlsplit(pfn)
            # Rucio stores path + name (rucio.core.replica.add_replicas).
            parsed[pfn] = {
                "path": pfn,
                "name": "",
                "scheme": parts.scheme,
                "prefix": "",
                "port": parts.port or 0,
                "hostname": parts.hostname,
            }
        return parsed

    def lfns2pfns(self, lfns: list[dict[str, Any]] | dict[str, Any]) -> dict[str, str]:
        """Return the registered URL of each file, by its DID.

        On the server the URL comes with the request, or from the replica
        catalogue; a client asks the server for it.
        """
        pfns = {}
        for lfn in [lfns] if isinstance(lfns, dict) else lfns:
            scope, name = str(lfn["scope"]), lfn["name"]
            pfns[f"{scope}:{name}"] = lfn.get("path") or self._get_path(scope, name)
        return pfns

    def _get_path_nondeterministic_server(self, scope: str, name: str) -> str:
        # Rucio's own takes a slash off both ends of the path.
        from rucio.common.exception import ReplicaNotFound
        from rucio.common.types import InternalScope
        from rucio.core.replica import get_replica
        from rucio.core.rse import get_rse_vo

        internal_scope = InternalScope(scope, vo=get_rse_vo(self.rse["id"]))
        path: str | None
        path = get_replica(scope=internal_scope, name=name, rse_id=self.rse["id"])["path"]
        if not path:
            raise ReplicaNotFound(f"{scope}:{name} has no URL at RSE {self.rse['rse']}")
        return path

    def path2pfn(self, path: str) -> str:
        """Return the path itself: it is the same URL."""
        return path

    def connect(self) -> None:
        """Open an HTTP session; the origins are only contacted by `get` and `exists`.

        On clients it has the credentials of their users; servers have none.
        """
        self._session = http.make_session(signer=Credentials() if is_client() else None)

    def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def get(self, path: str, dest: str, transfer_timeout: float | None = None) -> None:
        """Download a URL into the file `dest`, whose folders are made where missing.

        Args:
            path: The URL.
            dest: Path of the file to write.
            transfer_timeout: Longest silence of the origin, in seconds.

        Raises:
            SourceNotFound: The origin does not have it.
            RSEAccessDenied: The origin, or the allow list, refuses it, or wants a credential.
            ServiceUnavailable: The origin cannot be reached, or failed.
            DestinationNotAccessible: The file cannot be written.
        """
        hosts = settings().allowed_hosts
        try:
            bodies.download(self._connected(), path, Path(dest), hosts, transfer_timeout)
        except http.FetchError as error:
            _raise_fitting(path, error)
        except OSError as error:
            raise DestinationNotAccessible(f"{dest}: {error.strerror}") from error

    def exists(self, path: str | None) -> bool:
        """Return whether the origin has a URL.

        Raises:
            RSEAccessDenied: The origin, or the allow list, refuses to say.
            ServiceUnavailable: The origin cannot be reached, or failed.
        """
        url, hosts = path or "", settings().allowed_hosts
        try:
            with http.open_url(self._connected(), url, hosts, method="HEAD") as response:
                if response.status_code // 100 != HTTPStatus.OK // 100:
                    http.require_ok(response)
        except http.FetchError as error:
            if error.status in _MISSING:
                return False
            _raise_fitting(url, error)
        return True

    def put(self, _source: str, target: str, *_: Any, **__: Any) -> None:
        """Refuse: the origins of a catalogue are read only."""
        self._refuse("uploads", target)

    def delete(self, path: str) -> None:
        """Refuse: the origins of a catalogue are read only."""
        self._refuse("deletion", path)

    def rename(self, path: str, new_path: str) -> None:
        """Refuse: the origins of a catalogue are read only."""
        self._refuse("renaming", path, new_path)

    def _refuse(self, what: str, url: str, *_: str) -> NoReturn:
        raise RSEOperationNotSupported(
            f"RSE {self.rse['rse']} stands for the origins of a catalogue, which are read only: "
            f"no {what} ({redact(url)})"
        )

    def _connected(self) -> requests.Session:
        if self._session is None:
            raise RSENotConnected(f"RSE {self.rse['rse']}: call connect() first")
        return self._session


class Gateway(Default):
    """The same for third-party copies: what needs a credential leads through the gateway.

    Rucio's conveyor asks it for the URLs of sources; listings of replicas ask `Default`.
    """

    def lfns2pfns(self, lfns: list[dict[str, Any]] | dict[str, Any]) -> dict[str, str]:
        """Return the URL of each file by which FTS and storages get it, by its DID."""
        return {did: self._through(url) for did, url in super().lfns2pfns(lfns).items()}

    def _through(self, url: str) -> str:
        try:
            kind = known_origins().access(url, {}, {}).kind
            if kind.is_anonymous and not (settings().gateway_open and url.startswith("https:")):
                return url
            return self._at_gateway(url)
        # A transfer that fails says so; an exception here would end those of everybody.
        except (OSError, ValueError) as error:
            _REPORTER.warn(
                "gateway",
                "RSE %s: %s may need the credential gateway, and is asked for without: %s",
                self.rse["rse"],
                redact(url),
                error,
            )
            return url

    def _at_gateway(self, url: str) -> str:
        from rucio.core.rse import get_rse_vo

        ours = settings()
        if not ours.gateway:
            raise ValueError("[stac] gateway does not say where it is")
        key = read_keys(ours.gateway_keys)[0]
        # Of a day's transfers of a file all get the same URL.
        expires_s = (int(time.time()) // _DAY_S + 1) * _DAY_S + ours.gateway_valid_s
        claim = Claim(get_rse_vo(self.rse["id"]), self.rse["rse"], url, expires_s)
        return make_url(ours.gateway, claim, key)


def _raise_fitting(url: str, error: http.FetchError) -> NoReturn:
    """Raise Rucio's exception for an error."""
    message = f"{redact(url)}: {error}"
    if error.status in _MISSING:
        raise SourceNotFound(message) from None
    if error.status in http.DENIED or isinstance(
        error, (http.HostNotAllowedError, http.CredentialError)
    ):
        raise RSEAccessDenied(message) from None
    raise ServiceUnavailable(message) from None
