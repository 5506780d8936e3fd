"""A registry on the loopback interface, and a directory with all that an image needs."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fuki_build.testing.parts import write_parts
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key

REPOSITORY = "acme/guest"


class Registry:
    """The part of the OCI distribution specification that pulls by digest; `requests` are the paths that were asked."""

    def __init__(self):
        self.content = {}
        self.requests = []
        self.address = ""

    def push(self, kind, data):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.content[f"/v2/{REPOSITORY}/{kind}/{digest}"] = data
        return digest

    def push_firmware(self, data, layers=1):
        blob = {"mediaType": "application/vnd.acme.firmware", "digest": self.push("blobs", data), "size": len(data)}
        return self.push("manifests", json.dumps({"schemaVersion": 2, "layers": [blob] * layers}).encode())


@pytest.fixture
def registry():
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            registry.requests.append(self.path)
            data = registry.content.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        registry.address = f"http://127.0.0.1:{server.server_port}"
        yield registry
        server.shutdown()
        thread.join()


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Parts of an image, a vault with a key, the key's certificate, and a cache that is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VAULT_TOKEN", "open sesame")
    work = tmp_path / "work"
    (work / "vault").mkdir(parents=True)
    identity = make_identity("Acme")
    write_key(work / "vault/release.pem", identity.key, "open sesame")
    write_certificates(work / "db.crt", identity.certificate)
    return write_parts(work)
