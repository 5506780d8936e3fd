"""Debian's registry for OCI artifacts, and the worked plugin that takes firmware from one."""

import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import parts
import pytest

from fuki_build.testing import install_plugin
from tests.conftest import RECIPE

REPOSITORY = "acme/guest"
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
FIRMWARE = """
[[fuki.firmware]]
source = "acme-registry"
registry = "{registry}"
repository = "acme/guest"
digest = "{digest}"
platforms = ["acme"]
"""


def answer(method: str, url: str, data: bytes | None = None, kind: str = "application/octet-stream"):
    headers = {"Content-Type": kind}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own registry's
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry of our own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "config.yml").write_text(CONFIG.format(root=tmp_path / "registry", port=port))
    command = [str(parts.get("docker-registry")), "serve", str(tmp_path / "config.yml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                answer("GET", f"{address}/v2/").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, "the registry has ended"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def push_blob(registry: str, data: bytes) -> str:
    """A blob in one go, by the distribution specification's second way."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with answer("POST", f"{registry}/v2/{REPOSITORY}/blobs/uploads/", b"") as started:
        place = started.headers["Location"]
    answer("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data).close()
    return digest


def push(registry: str, firmware: bytes) -> str:
    """An artifact with one layer; the digest of its manifest, as the registry tells it."""
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": push_blob(registry, b"{}"), "size": 2}
    layer = {
        "mediaType": "application/vnd.acme.firmware",
        "digest": push_blob(registry, firmware),
        "size": len(firmware),
    }
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}
    with answer("PUT", f"{registry}/v2/{REPOSITORY}/manifests/1", json.dumps(manifest).encode(), kind) as stored:
        return stored.headers["Docker-Content-Digest"]


@pytest.fixture
def site(tmp_path: Path) -> str:
    """PYTHONPATH with the worked plugin, which is not installed among the tests' own."""
    metadata = install_plugin(tmp_path / "site", "acme", "", distribution="acme-metadata", value="fuki_acme")
    return os.pathsep.join((metadata, str(parts.CHECKOUT / "examples/plugins/fuki-acme")))


def test_real_firmware_comes_from_a_real_registry_once(fuki, workshop, tmp_path, registry, site):
    firmware = parts.get("ovmf-generic").read_bytes()
    digest = push(registry, firmware)
    text = RECIPE.replace("[fuki.image]", 'plugins = ["acme"]\n[fuki.image]')
    (workshop / "fuki.toml").write_text(text + FIRMWARE.format(registry=registry, digest=digest))

    environment = {"PYTHONPATH": site, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    fuki("build", "-o", "first.efi", **environment)
    assert firmware in (workshop / "first.efi").read_bytes()

    # The registry is asked no more, so that one that is not there is not missed.
    text = (workshop / "fuki.toml").read_text().replace(registry, "http://127.0.0.1:9")
    (workshop / "fuki.toml").write_text(text)
    fuki("build", "-o", "second.efi", **environment)
    assert (workshop / "second.efi").read_bytes() == (workshop / "first.efi").read_bytes()
