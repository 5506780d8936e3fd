"""The one rule for answers from networks, for the package and its plugins: how long, how large, past which proxy.

Timeouts of Python's clients are about single reads, so that a byte now and then holds them for ever, and they read
answers of any size. A connection with `BoundedResponse` for its answers does neither.
"""

import io
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

ANSWER_TIMEOUT = 30.0
"""Seconds for the whole of one answer."""
CALL_TIMEOUT = 120.0
"""Seconds for a call with all its attempts, pauses and logins."""
DOWNLOAD_TIMEOUT = 900.0
"""Seconds for a whole file."""
LARGEST_ANSWER = 1024 * 1024
"""Bytes, headers included; a signature's has less than ten thousand."""
_PIECE = 256 * 1024
_SHORTEST = 0.001
"""Seconds; zero would be no timeout."""


class NetworkCall:
    """One call of a service, and what went wrong in it that clients take for something else.

    `seconds` and `largest` bound each answer, in place of what holds for small ones.
    """

    def __init__(self, seconds: float | None = None, largest: int | None = None) -> None:
        self.answer_timeout = ANSWER_TIMEOUT if seconds is None else seconds
        self.largest = LARGEST_ANSWER if largest is None else largest
        self.deadline = time.monotonic() + (CALL_TIMEOUT if seconds is None else seconds)
        self.oversized = False
        self.late = False


_current: ContextVar[NetworkCall | None] = ContextVar("call", default=None)


@contextmanager
def call(seconds: float | None = None, largest: int | None = None) -> Iterator[NetworkCall]:
    """What is asked within the block, login and further attempts too, is one call."""
    this = NetworkCall(seconds, largest)
    token = _current.set(this)
    try:
        yield this
    finally:
        _current.reset(token)


class _BoundedReader(io.RawIOBase):
    """What comes through a socket, until there is too much of it or it is too late."""

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:  # noqa: ANN401 - TLS and urllib3 have others
        self._raw: Any = raw
        self._socket = sock
        self._timeout: float | None = sock.gettimeout()
        self._call = _current.get() or NetworkCall()
        self._deadline = min(time.monotonic() + self._call.answer_timeout, self._call.deadline)
        self._left = self._call.largest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - a buffer
        seconds = max(self._deadline - time.monotonic(), _SHORTEST)
        self._socket.settimeout(seconds if self._timeout is None else min(seconds, self._timeout))

        try:
            size: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            self._call.late = True
            raise

        # Each piece may come in time, and the answer as a whole too late.
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


class BoundedResponse(HTTPResponse):
    """For `response_class` of connections."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as http.client has them
        super().__init__(sock, *args, **kwargs)
        reader: Any = self.fp
        self.fp = io.BufferedReader(_BoundedReader(reader.detach(), sock))


def is_local(url: str) -> bool:
    """Whether an address is one of this machine, or of the metadata service that is reached without a network."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local


class _Connection(HTTPConnection):
    response_class = BoundedResponse


class _TlsConnection(HTTPSConnection):
    response_class = BoundedResponse


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Connection, req)


class _TlsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_TlsConnection, req, context=ssl.create_default_context())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, never from the second to the first, and shows another host no credentials."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,  # noqa: ANN401
        code: int,
        msg: str,
        headers: Any,  # noqa: ANN401
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://" if req.type == "https" else ("http://", "https://")):
            text = f"it leads to {newurl!r}, which is not asked"
            raise urllib.error.HTTPError(newurl, code, text, headers, fp)

        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request


def post(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Send a request over HTTP, and read its answer. Raises `OSError`, whose text says why there is none.

    Only http and https are spoken, also where an answer leads elsewhere; this machine is asked without a proxy.
    """
    with call() as this, _answer(this, url, body, headers) as answer:
        data: bytes = answer.read()
    return data


def download(url: str, write: Callable[[bytes], object], headers: Mapping[str, str] = {}, *, limit: int) -> None:
    """Get what is at an address, and give it to `write` piece by piece. Raises `OSError` as `post` does.

    It may have `limit` bytes, headers included, and take `DOWNLOAD_TIMEOUT`. What a server leads to is followed; its
    host is shown no `Authorization`.
    """
    with call(DOWNLOAD_TIMEOUT, limit) as this, _answer(this, url, None, headers) as answer:
        while piece := answer.read(_PIECE):
            write(piece)


@contextmanager
def _answer(this: NetworkCall, url: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
    """Send a request, and give its answer to be read in the block; raises `OSError` in words for people."""
    if not url.startswith(("http://", "https://")):
        raise OSError("the address starts with neither http:// nor https://")

    proxies = [urllib.request.ProxyHandler({})] if is_local(url) else []
    opener = urllib.request.build_opener(_Handler, _TlsHandler, _Redirects, *proxies)

    try:
        request = urllib.request.Request(url, body, dict(headers))  # noqa: S310 - the scheme was looked at
        with closing(opener.open(request, timeout=ANSWER_TIMEOUT)) as answer:
            yield answer
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):  # an answer as well, with a connection
            error.close()
        if this.oversized:
            raise OSError(f"the answer has more than {this.largest} bytes") from error
        if this.late:
            raise OSError("it does not answer in time") from error

        # Of urllib's errors, `reason` is what says something to people.
        reason = getattr(error, "reason", error)
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise OSError(text) from error
