"""A proxy that is all of the internet that a test sees: every client speaks to the names that it really speaks to.

The proxy takes `CONNECT host:443`, goes on with TLS under a certificate that its own authority made for that host, and
gives requests to the fake that stands for it. Hosts without one cannot be reached.
"""

import datetime as dt
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Request:
    host: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - as its sender made it
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    status: int
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0
    """Seconds before each byte of the content."""

    @classmethod
    def of_json(cls, status: int, value: object, **headers: str) -> "Response":
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8", **named})


Answer = Callable[[Request], Response]


class Authority:
    """Makes a certificate for any host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

        root = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        usage.update(decipher_only=False, digital_signature=True, key_cert_sign=True, crl_sign=True)
        root = root.add_extension(x509.KeyUsage(**usage), True).add_extension(identifier, False)

        self.certificate.write_bytes(root.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._context(host)
            return self._contexts[host]

    def _context(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        leaf = self._builder(name, key).add_extension(names, False).add_extension(issuer, False)
        path = self.directory / f"{host}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + leaf.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


class Internet:
    """`hosts` are the fakes by host name; `requests` is what they were asked, in order.

    What is put into `faults` for a host is answered once each, first to last, before the fake is asked again.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.hosts: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.faults: dict[str, list[Answer]] = {}
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """What makes clients use it, and trust it."""
        trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(self.authority.certificate))
        proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), self.url)
        return {**trusted, **proxies, "NO_PROXY": "", "no_proxy": ""}

    def fail(self, host: str, *answers: Answer | Response) -> None:
        for answer in answers:
            given = answer if not isinstance(answer, Response) else lambda _, response=answer: response
            self.faults.setdefault(host, []).append(given)

    def asked(self, host: str) -> list[Request]:
        return [request for request in self.requests if request.host == host]

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        faults = self.faults.get(request.host)
        return (faults.pop(0) if faults else self.hosts[request.host])(request)


class _Handler(BaseHTTPRequestHandler):
    """One connection to the proxy: requests in the clear, or CONNECT and then requests under TLS."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"
    host = ""

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        if host not in self.server.internet.hosts:
            self.send_error(502, "no such host")
            return
        self.send_response(200)
        self.end_headers()

        context = self.server.internet.authority.context(host)
        try:
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except OSError:  # the client does not trust the authority
            self.close_connection = True
            return

        self.rfile.close()
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)
        self.host = host
        self.close_connection = False

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        host = self.host or parts.hostname or ""
        if host not in self.server.internet.hosts:
            self.send_error(502, "no such host")
            return

        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(host, self.command, parts.path, parts.query, headers, body)

        response = self.server.internet.answer(request)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()

        try:
            for piece in self.pieces(response):
                self.wfile.write(piece)
        except OSError:  # the client had enough
            self.close_connection = True

    def pieces(self, response: Response) -> Iterator[bytes]:
        if not response.pause:
            yield response.content
            return
        for byte in response.content:
            # Tests take time.sleep() away.
            threading.Event().wait(response.pause)
            yield bytes([byte])

    def do_POST(self) -> None:
        self.do_GET()

    def finish(self) -> None:
        with suppress(OSError):  # the client may be gone
            super().finish()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def __init__(self, internet: "Internet") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.internet = internet

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have had enough."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
