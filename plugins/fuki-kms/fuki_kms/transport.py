"""The one rule for all requests: how long an answer may take, how large it may be, and who may see credentials.

The clients' own timeouts are about single reads, so that a byte now and then holds them for ever, and they read answers
of any size. All three stand on urllib3, whose connections are given responses with bounds here.
"""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fuki_build.errors import SigningError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from fuki_kms.remote import READ_TIMEOUT, Service

ANSWER_TIMEOUT = READ_TIMEOUT
"""Seconds for the whole of one answer."""
CALL_TIMEOUT = 120.0
"""Seconds for a call with all its attempts, pauses and logins."""
_SHORTEST = 0.001
"""Seconds; zero would be no timeout."""
LARGEST_ANSWER = 1024 * 1024
"""Bytes, headers included; a signature's has less than ten thousand."""


class _Call:
    """One call of a service; what went wrong in it that the clients take for something else."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.oversized = False
        self.late = False


_current: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def call(service: Service) -> Iterator[None]:
    """Around requests to a service and the client's handling of answers. Raises `SigningError` for what has no bounds.

    Other errors pass as they are.
    """
    this = _Call(CALL_TIMEOUT)
    token = _current.set(this)
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
    finally:
        _current.reset(token)


class _BoundedReader(io.RawIOBase):
    """What comes through a socket, until there is too much of it or it is too late."""

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:  # noqa: ANN401 - urllib3 has several kinds
        self._raw = raw
        self._socket = sock
        self._timeout: float | None = sock.gettimeout()
        self._call = _current.get() or _Call(CALL_TIMEOUT)
        self._deadline = min(time.monotonic() + ANSWER_TIMEOUT, self._call.deadline)
        self._left = LARGEST_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - a buffer
        seconds = max(self._deadline - time.monotonic(), _SHORTEST)
        self._socket.settimeout(seconds if self._timeout is None else min(seconds, self._timeout))
        try:
            size = self._raw.readinto(buffer)
        except TimeoutError:
            self._call.late = True
            raise
        if time.monotonic() > self._deadline:
            self._call.late = True
            raise TimeoutError("the answer takes too long")
        self._left -= size or 0
        if self._left < 0:
            self._call.oversized = True
            raise OSError("the answer is too large")
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as http.client has them
        super().__init__(sock, *args, **kwargs)
        reader: Any = self.fp
        self.fp = io.BufferedReader(_BoundedReader(reader.detach(), sock))


class Bounded:
    """Mixin for urllib3's connections."""

    response_class: Any = _BoundedResponse


class _Connection(Bounded, HTTPConnection):
    pass


class _TlsConnection(Bounded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}


def is_local(url: str) -> bool:
    """Whether an address is one of this machine, or of the metadata service that is reached without a network."""
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local


def refuse_clear(url: str, headers: Mapping[str, Any], service: Service) -> None:
    """Refuse to send credentials in clear to another machine, wherever the client has its address from."""
    names = {name.lower() for name in headers}
    if urlsplit(url).scheme != "https" and not is_local(url) and names & {"authorization", "x-amz-security-token"}:
        hint = "look for an http address in the environment and in the service's configuration files"
        raise SigningError(f"credentials for {service.name} do not go to another machine in clear", hint=hint)
