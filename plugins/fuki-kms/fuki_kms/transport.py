"""The limits of `fuki_build.network` for clients based on urllib3, as all are; and protection of credentials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fuki_build import network
from fuki_build.errors import SigningError
from fuki_build.network import BoundedResponse, is_local
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from fuki_kms.remote import Service


@contextmanager
def call(service: Service) -> Iterator[None]:
    """Surround requests to a service and the client's handling of answers. Raises `SigningError` beyond the limits.

    Other errors pass unchanged.
    """
    with network.call() as limits:
        try:
            yield
        except RecursionError:
            # JSON of any depth; parsers stop where Python's stack would overflow.
            raise service.garbled() from None
        except Exception:
            if limits.oversized:
                raise service.garbled() from None
            if limits.late:
                raise service.slow() from None
            raise


class BoundedConnection:
    """Mixin for urllib3's connections."""

    response_class: Any = BoundedResponse


class _Connection(BoundedConnection, HTTPConnection):
    pass


class _TlsConnection(BoundedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}


def refuse_clear(url: str, headers: Mapping[str, Any], service: Service) -> None:
    """Refuse to send credentials unencrypted to another machine, wherever the client got its address from."""
    names = {name.lower() for name in headers}
    if urlsplit(url).scheme != "https" and not is_local(url) and names & {"authorization", "x-amz-security-token"}:
        hint = "look for an http address in the environment and in the service's configuration files"
        raise SigningError(f"credentials for {service.name} do not go to another machine in clear", hint=hint)
