"""ID blocks against snp-create-id-block, which comes with sev-snp-measure; `fuki id-block` on files."""

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path

import parts
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fuki_build.errors import FormatError, MismatchError, SigningError
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdBlock
from fuki_build.testing import CommandOutcome, install_plugin, invoke, refused
from fuki_build.testing.documents import complaints, schema_of
from fuki_build.testing.memory_key import FILE_KEY_PLUGIN, MemoryKey, memory_key
from fuki_build.testing.secure_boot import write_key
from sevsnpmeasure import id_block as peer

from fuki_coco import id_blocks

DIGEST = bytes(range(48))


class Peer:
    """What snp-create-id-block prints for two keys."""

    def __init__(self, directory: Path, id_key: MemoryKey, author: MemoryKey) -> None:
        write_key(directory / "id.pem", id_key.private)
        write_key(directory / "author.pem", author.private)
        text = peer.snp_calc_id_block(DIGEST, str(directory / "id.pem"), str(directory / "author.pem"))
        names = ("id-block=", "id-auth=", "id_key_hash: ", "author_key: ")
        matches = [re.search(re.escape(name) + "([A-Za-z0-9+/=]+)", text) for name in names]
        self.block, self.auth, self.id_digest, self.author_digest = (base64.b64decode(f[1]) for f in matches if f)


def test_a_block_and_its_authentication_are_the_peer_s_but_for_the_random_signatures(tmp_path: Path):
    id_key, author = memory_key(), memory_key()
    theirs = Peer(tmp_path, id_key, author)
    block = IdBlock(launch_digest=DIGEST)
    ours = id_blocks.sign(block, id_key, author)
    assert id_block.encode_block(block) == theirs.block
    _, auth = id_blocks.verify(theirs.block, theirs.auth)
    assert (auth.id_key, auth.author_key) == (ours.id_key, ours.author_key)
    unsigned = [bytearray(id_block.encode_auth(ours)), bytearray(theirs.auth)]
    for data in unsigned:
        data[0x40:0x240] = data[0x680:0x880] = bytes(512)  # block and key signature
    assert unsigned[0] == unsigned[1]


def test_key_digests_are_the_peer_s(tmp_path: Path):
    id_key, author = memory_key(), memory_key()
    theirs = Peer(tmp_path, id_key, author)
    assert id_blocks.key_digest(id_blocks.firmware_key(id_key.public_key)) == theirs.id_digest
    assert id_blocks.key_digest(id_blocks.firmware_key(author.public_key)) == theirs.author_digest


def test_what_we_sign_holds_and_what_is_changed_does_not():
    block = IdBlock(launch_digest=DIGEST)
    auth = id_block.encode_auth(id_blocks.sign(block, memory_key(), memory_key()))
    encoded = id_block.encode_block(block)
    assert id_blocks.verify(encoded, auth)[0] == block
    with pytest.raises(MismatchError, match="ID block"):
        id_blocks.verify(b"\xff" + encoded[1:], auth)
    with pytest.raises(MismatchError, match="id key"):
        id_blocks.verify(encoded, auth[:0x690] + b"\x01\x02" + auth[0x692:])


@pytest.mark.parametrize("with_author", [True, False])
def test_no_byte_can_be_another(with_author: bool):
    """Reserved ones must be zero (56860, 8.18 and chapter 10)."""
    block = IdBlock(launch_digest=DIGEST)
    auth = id_block.encode_auth(id_blocks.sign(block, memory_key(), memory_key() if with_author else None))
    encoded = id_block.encode_block(block)
    for at in range(0, len(auth), 5):
        with pytest.raises((FormatError, MismatchError)):
            id_blocks.verify(encoded, auth[:at] + bytes([auth[at] ^ 0x20]) + auth[at + 1 :])
    for at in range(len(encoded)):
        with pytest.raises((FormatError, MismatchError)):
            id_blocks.verify(encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :], auth)


def test_another_version_of_the_block_is_refused():
    key = memory_key()
    block = IdBlock(launch_digest=DIGEST, version=2)
    with pytest.raises(FormatError, match="version 2"):
        id_blocks.verify(id_block.encode_block(block), id_block.encode_auth(id_blocks.sign(block, key)))


def test_an_authentication_without_an_author_holds():
    auth = id_blocks.sign(IdBlock(launch_digest=DIGEST), memory_key())
    assert not auth.has_author
    id_blocks.verify(id_block.encode_block(IdBlock(launch_digest=DIGEST)), id_block.encode_auth(auth))


def test_a_key_that_is_no_point_of_the_curve_is_refused():
    auth = id_block.encode_auth(id_blocks.sign(IdBlock(launch_digest=DIGEST), memory_key()))
    broken = auth[:0x244] + b"\x01" * 48 + auth[0x244 + 48 :]
    with pytest.raises(FormatError, match="no point"):
        id_blocks.verify(id_block.encode_block(IdBlock(launch_digest=DIGEST)), broken)


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP521R1])
def test_other_curves_are_refused(curve: type[ec.EllipticCurve]):
    with pytest.raises(SigningError, match="P-384"):
        id_blocks.sign(IdBlock(launch_digest=DIGEST), memory_key(curve))


def test_qemu_gets_what_was_signed():
    block = IdBlock(launch_digest=DIGEST, policy=0xB0000)
    auth = id_blocks.sign(block, memory_key(), memory_key())
    (_, machine, _, guest) = id_blocks.qemu_arguments(block, auth)
    assert machine == "confidential-guest-support=sev0"
    properties = dict(item.split("=", 1) for item in guest.split(",")[1:])
    assert properties["policy"] == "0xb0000"
    assert base64.b64decode(properties["id-block"]) == id_block.encode_block(block)
    assert base64.b64decode(properties["id-auth"]) == id_block.encode_auth(auth)
    assert properties["author-key-enabled"] == "on"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with keys, and a backend `pem` that reads them."""
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site", "pem", FILE_KEY_PLUGIN))
    place = tmp_path / "place"
    place.mkdir()
    for name, curve in (("id", ec.SECP384R1), ("author", ec.SECP384R1), ("small", ec.SECP256R1)):
        write_key(place / f"{name}.pem", memory_key(curve).private)
    return place


def make(bench: Path, *arguments: object) -> CommandOutcome:
    return invoke(bench, "--plugin", "coco", "--plugin", "pem", "id-block", "make", *arguments)


def pem(name: str) -> str:
    return f'backend = "pem", key = "{name}.pem"'


def test_a_block_is_made_from_files_and_verified(bench: Path):
    completed = make(
        bench, "--measurement", DIGEST.hex(), "--id-key", pem("id"), "--author-key", f"{{ {pem('author')} }}",
        "--svn", "7", "-o", "guest", "--json",
    )  # fmt: skip
    assert completed.code == 0, completed.err
    facts = json.loads(completed.out)
    assert complaints(facts, "id-block make", "coco") == []
    assert schema_of("id-block verify", "coco") == schema_of("id-block make", "coco")

    verify = ("--plugin", "coco", "id-block", "verify", "guest.id-block", "guest.id-auth")
    digests = ("--id-key-digest", facts["id-key-digest"], "--author-key-digest", facts["author-key-digest"])
    verified = invoke(bench, *verify, *digests, "--measurement", DIGEST.hex(), "--json")
    assert verified.code == 0, verified.err
    assert json.loads(verified.out) == facts
    assert (facts["svn"], facts["policy"]) == (7, 0x30000)

    refused(bench, *verify, "--measurement", "00" * 48, code=3)
    refused(bench, *verify, "--id-key-digest", facts["author-key-digest"], code=3)


def test_the_measurement_is_taken_from_a_launch(bench: Path):
    launch = ("--plugin", "coco", "launch", parts.get("ovmf-generic"), "--vcpu-model", "EPYC-Milan", "--json")
    (bench / "launch.json").write_text(invoke(bench, *launch).out)
    completed = make(bench, "--launch", "launch.json", "--id-key", pem("id"), "--json")

    (digest,) = [
        row["digest"]
        for row in json.loads((bench / "launch.json").read_text())["launches"]
        if row["technology"] == "sev-snp"
    ]
    assert json.loads(completed.out)["measurement"] == digest

    (bench / "many.json").write_text(invoke(bench, *launch, "--vcpus", "1,2").out)
    plugins = ("--plugin", "coco", "--plugin", "pem", "id-block", "make")
    assert "2 launch digests" in refused(bench, *plugins, "--launch", "many.json", "--id-key", pem("id"))


@pytest.mark.parametrize("suffix", ["id-block", "id-auth"])
def test_neither_file_replaces_a_key(bench: Path, suffix: str):
    (bench / f"guest.{suffix}").hardlink_to(bench / "id.pem")
    plugins = ("--plugin", "coco", "--plugin", "pem", "id-block", "make", "--measurement", DIGEST.hex())
    error = refused(bench, *plugins, "--id-key", pem("id"), "-o", "guest")
    assert "would replace the input" in error
    assert (bench / f"guest.{suffix}").samefile(bench / "id.pem")


def test_neither_file_replaces_the_launches(bench: Path):
    launch = ("--plugin", "coco", "launch", parts.get("ovmf-generic"), "--vcpu-model", "EPYC-Milan", "--json")
    (bench / "guest.id-auth").write_text(invoke(bench, *launch).out)
    given = ("--plugin", "coco", "--plugin", "pem", "id-block", "make", "--id-key", pem("id"))
    assert "would replace" in refused(bench, *given, "--launch", "guest.id-auth", "-o", "guest")


MISTAKES = {
    "a short measurement": (2, "--measurement", "00", "--id-key", pem("id")),
    "no measurement": (2, "--id-key", pem("id")),
    "no TOML": (2, "--measurement", "00" * 48, "--id-key", "backend = pem"),
    "no backend": (2, "--measurement", "00" * 48, "--id-key", 'key = "id.pem"'),
    "an unknown backend": (2, "--measurement", "00" * 48, "--id-key", 'backend = "nope"'),
    "an unknown option": (2, "--measurement", "00" * 48, "--id-key", 'backend = "pem", keey = "id.pem"'),
    "a backend without keys": (4, "--measurement", "00" * 48, "--id-key", 'backend = "program"'),
    "a missing key": (4, "--measurement", "00" * 48, "--id-key", pem("nowhere")),
    "a key on another curve": (4, "--measurement", "00" * 48, "--id-key", pem("small")),
    "a policy that is no number": (2, "--measurement", "00" * 48, "--id-key", pem("id"), "--policy", "lax"),
    "a policy that is too large": (1, "--measurement", "00" * 48, "--id-key", pem("id"), "--policy", "0x1" + "0" * 16),
    "a document that is none": (1, "--launch", "id.pem", "--id-key", pem("id")),
    "a missing document": (1, "--launch", "nowhere", "--id-key", pem("id")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_error_and_writes_nothing(bench: Path, mistake: str):
    code, *arguments = MISTAKES[mistake]
    before = sorted(bench.iterdir())
    completed = make(bench, "-o", "guest", *arguments)
    assert completed.code == code, completed
    assert (completed.out, completed.err.lower().count("error:")) == ("", 1)
    assert "Traceback" not in completed.err
    assert sorted(bench.iterdir()) == before


def test_files_that_are_no_id_blocks_are_refused(bench: Path):
    refused(bench, "--plugin", "coco", "id-block", "verify", "id.pem", "author.pem", code=1)


def test_a_block_without_an_author_has_no_digest_of_one(bench: Path):
    completed = make(bench, "--measurement", DIGEST.hex(), "--id-key", pem("id"), "-o", "guest")
    assert re.search(r"author-key-digest +-\n", completed.out)
    shown = re.search(r"id-key-digest +([0-9a-f]{96})", completed.out)
    assert shown
    key = (bench / "guest.id-auth").read_bytes()[0x240 : 0x240 + 1028]
    assert shown[1] == hashlib.sha384(key).hexdigest()


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def sign_elsewhere(directory: Path, document: Path, *keys: str) -> None:
    """Sign the digests of a document with openssl and add the signatures."""
    content = json.loads(document.read_text())
    for item, key in zip(content["digests"], keys, strict=True):
        (directory / "digest").write_bytes(bytes.fromhex(item["digest"]))
        assert hashlib.sha384(base64.b64decode(item["message"])).hexdigest() == item["digest"]
        openssl(directory, "pkeyutl", "-sign", "-inkey", f"{key}.pem", "-in", "digest", "-out", "signature")
        item["signature"] = base64.b64encode((directory / "signature").read_bytes()).decode()
    document.write_text(json.dumps(content))


@pytest.fixture
def offline(bench: Path) -> Path:
    """The bench, with a document of digests to sign and the public keys beside it."""
    for name in ("id", "author", "small"):
        openssl(bench, "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub")
    keys = ("--id-key", "id.pub", "--author-key", "author.pub")
    printed = invoke(bench, "--plugin", "coco", "id-block", "digests", "--measurement", DIGEST.hex(), *keys)
    assert complaints(json.loads(printed.out), "id-block digests", "coco") == []
    (bench / "digests.json").write_text(printed.out)
    return bench


ATTACH = ("--plugin", "coco", "id-block", "attach", "digests.json", "-o", "guest")


def test_a_block_is_signed_where_the_keys_are(offline: Path):
    sign_elsewhere(offline, offline / "digests.json", "id", "author")
    facts = json.loads(invoke(offline, *ATTACH, "--json").out)
    assert complaints(facts, "id-block attach", "coco") == []
    block, auth = (offline / f"guest.{name}" for name in ("id-block", "id-auth"))
    decoded, keys = id_blocks.verify(block.read_bytes(), auth.read_bytes())
    assert decoded == IdBlock(launch_digest=DIGEST)
    assert facts["id-key-digest"] == id_blocks.key_digest(keys.id_key).hex()


def test_neither_file_replaces_the_document(offline: Path):
    sign_elsewhere(offline, offline / "digests.json", "id", "author")
    (offline / "digests.json").rename(offline / "guest.id-block")
    given = ("--plugin", "coco", "id-block", "attach", "guest.id-block", "-o", "guest")
    assert "would replace" in refused(offline, *given)


def test_a_signature_that_is_missing_is_named_with_its_digest(offline: Path):
    digest = json.loads((offline / "digests.json").read_text())["digests"][0]["digest"]
    assert digest in refused(offline, *ATTACH, code=4)


def test_the_signatures_of_other_keys_are_refused(offline: Path):
    sign_elsewhere(offline, offline / "digests.json", "author", "id")
    assert "not signed by the id key" in refused(offline, *ATTACH, code=3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "id-block": "?", "digests": []}'])
def test_what_is_no_document_of_digests_is_refused(offline: Path, text: str):
    (offline / "digests.json").write_text(text)
    refused(offline, *ATTACH, code=1)


@pytest.mark.parametrize("key", ["small.pub", "id.pem", "digests.json"])
def test_public_keys_that_are_none_or_of_another_curve_are_refused(offline: Path, key: str):
    make_digests = ("--plugin", "coco", "id-block", "digests", "--measurement", "00" * 48, "--id-key", key)
    refused(offline, *make_digests, code=4)
