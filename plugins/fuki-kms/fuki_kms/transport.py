"""The rule of `fuki_build.network` for clients that stand on urllib3, as all do; and who may see credentials."""

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
    """Around requests to a service and the client's handling of answers. Raises `SigningError` for what has no bounds.

    Other errors pass as they are.
    """
    with network.call() as this:
        try:
            yield
        except RecursionError:
            # JSON of any depth; parsers stop where Python's stack would end.
            raise service.garbled() from None
        except Exception:
            if this.oversized:
                raise service.garbled() from None
            if this.late:
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
    """Refuse to send credentials in clear to another machine, wherever the client has its address from."""
    names = {name.lower() for name in headers}
    if urlsplit(url).scheme != "https" and not is_local(url) and names & {"authorization", "x-amz-security-token"}:
        hint = "look for an http address in the environment and in the service's configuration files"
        raise SigningError(f"credentials for {service.name} do not go to another machine in clear", hint=hint)
