"""A time-stamp authority (RFC 3161) on the loopback interface; OpenSSL makes its replies."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

CONFIGURATION = """\
[tsa]
default_tsa = authority
[authority]
serial = {directory}/serial
signer_cert = {directory}/tsa.crt
signer_key = {directory}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
certs = {directory}/tsa.crt
"""


@contextmanager
def timestamp_authority(directory: Path) -> Iterator[str]:
    """The URL of an authority that answers as long as the `with` lasts; its certificate is `tsa.crt` in `directory`."""
    (directory / "tsa.cnf").write_text(CONFIGURATION.format(directory=directory))
    (directory / "serial").write_text("01\n")
    usage = ("-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "keyUsage=critical,digitalSignature")
    files = ("-keyout", directory / "tsa.key", "-out", directory / "tsa.crt")
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Acme TSA", *usage, *files)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = directory / "query.tsq"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            reply = _openssl("ts", "-reply", "-queryfile", query, "-config", directory / "tsa.cnf")
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def _openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
