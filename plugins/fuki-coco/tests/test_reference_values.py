"""Reference values, as their consumers read them: CBOR and COSE by libraries that did not write them."""

import base64
import json
import re
from pathlib import Path

import cbor_diag
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.errors import FormatError, SigningError
from fuki_build.hooks import (
    LaunchDigest,
    LaunchDocument,
    LaunchNote,
    LaunchPrediction,
    LaunchRecord,
    decode_document,
    encode_json,
    from_document,
    to_document,
)
from fuki_build.testing import install_plugin, invoke, refused, succeed
from fuki_build.testing.memory_key import FILE_KEY_PLUGIN, MemoryKey, memory_key
from fuki_build.testing.secure_boot import write_key
from msgspec.structs import replace
from pycose.exceptions import CoseException
from pycose.keys import EC2Key
from pycose.messages import CoseMessage, Sign1Message

from fuki_coco import corim, reference

SNP, MRTD, RTMR1, SEV, RTMR2 = "81" * 48, "82" * 48, "83" * 48, "84" * 32, "85" * 48
RECORDS = [
    LaunchRecord(
        firmware="ovmf",
        profile=None,
        sha256="44" * 32,
        prediction=LaunchPrediction(
            (
                LaunchDigest(
                    technology="sev-snp",
                    register="MEASUREMENT",
                    algorithm="sha384",
                    digest=SNP,
                    vmm="qemu",
                    vcpus=4,
                    cpu_model="EPYC-Milan",
                    guest_features=1,
                ),
                LaunchDigest(technology="tdx", register="MRTD", algorithm="sha384", digest=MRTD, variant="single-pass"),
                LaunchDigest(technology="tdx", register="RTMR1", algorithm="sha384", digest=RTMR1, boot="main"),
                LaunchDigest(technology="sev", register="LAUNCH_DIGEST", algorithm="sha256", digest=SEV),
            ),
            (LaunchNote("tdx", "RTMR0 is not decided"),),
        ),
    )
]
CURVES = {ec.SECP256R1: ("P_256", 32), ec.SECP384R1: ("P_384", 48), ec.SECP521R1: ("P_521", 66)}


def diagnosed(data: bytes) -> str:
    """CBOR in diagnostic notation, without its white space, by a decoder in Rust."""
    return "".join(cbor_diag.cbor2diag(data).split())


def test_an_unsigned_corim_has_one_comid_with_a_triple_for_each_digest():
    text = diagnosed(corim.encode("acme", "41", RECORDS))
    comids = text.removeprefix('501({0:"acme/41/launch",1:[506(h\'').partition("'")
    assert comids[2] == ")]})"
    comid = diagnosed(bytes.fromhex(comids[0]))

    assert comid.startswith('{1:{0:"acme/launch"},4:{0:[')

    for vendor, model, register, values in (
        ("AMD", "SEV-SNP", "MEASUREMENT", f"{{2:[[7,h'{SNP}']],11:\"ovmf,qemu,EPYC-Milan,vCPUs:4\"}}"),
        ("Intel", "TDX", "MRTD", f"{{2:[[7,h'{MRTD}']],11:\"ovmf,single-pass\"}}"),
        ("Intel", "TDX", "RTMR1", f"{{11:\"ovmf,bootmain\",14:{{1:[[7,h'{RTMR1}']]}}}}"),
        ("AMD", "SEV", "LAUNCH_DIGEST", f"{{2:[[1,h'{SEV}']],11:\"ovmf\"}}"),
    ):
        triple = f'[{{0:{{1:"{vendor}",2:"{model}"}}}},[{{0:"{register}",1:{values}}}]]'
        assert triple in comid, comid


def test_the_same_launches_give_the_same_bytes():
    assert corim.encode("acme", "41", RECORDS) == corim.encode("acme", "41", list(RECORDS))


def public(key: MemoryKey, curve: type[ec.EllipticCurve]) -> EC2Key:
    name, size = CURVES[curve]
    numbers = key.private.public_key().public_numbers()
    return EC2Key(crv=name, x=numbers.x.to_bytes(size, "big"), y=numbers.y.to_bytes(size, "big"))


@pytest.mark.parametrize("curve", list(CURVES))
def test_a_signed_corim_holds_for_another_library(curve: type[ec.EllipticCurve]):
    key, data = memory_key(curve), corim.encode("acme", "41", RECORDS)
    message = CoseMessage.decode(corim.sign(data, key, "Acme"))
    assert isinstance(message, Sign1Message)
    assert message.payload == data
    message.key = public(key, curve)
    assert message.verify_signature()
    message.key = public(memory_key(curve), curve)
    assert not message.verify_signature()


def test_a_signed_corim_says_what_it_is_and_who_signed_it():
    message = CoseMessage.decode(corim.sign(corim.encode("acme", "41", RECORDS), memory_key(), "Acme"))
    header = diagnosed(message.phdr_encoded)
    assert header.startswith('{1:-35,3:"application/rim+cbor",4:h\'')
    assert diagnosed(bytes.fromhex(header.rpartition("8:h'")[2][:-2])) == '{0:{0:"Acme"}}'


def test_a_changed_corim_does_not_hold():
    key, data = memory_key(), corim.encode("acme", "41", RECORDS)
    signed = corim.sign(data, key, "Acme")
    message = CoseMessage.decode(signed.replace(bytes.fromhex(SNP), bytes(48)))
    assert isinstance(message, Sign1Message)
    message.key = public(key, ec.SECP384R1)
    try:
        holds = message.verify_signature()
    except CoseException:
        holds = False
    assert not holds


def test_an_rsa_key_is_refused():
    key = memory_key()
    key.public_key = generate_private_key(65537, 2048).public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    with pytest.raises(SigningError, match="ECDSA"):
        corim.sign(b"", key, "Acme")


def test_trustee_gets_a_sample_message_with_the_names_of_its_policies():
    message = json.loads(reference.trustee_message(RECORDS))
    assert {key: message[key] for key in ("version", "type")} == {"version": "0.1.0", "type": "sample"}
    values = json.loads(base64.b64decode(message["payload"]))
    assert values == {"mr_td": [MRTD], "rtmr_1": [RTMR1], "snp_launch_measurement": [SNP]}


def test_contrast_gets_what_is_known_and_room_for_the_rest():
    values = json.loads(reference.contrast_manifest(RECORDS))["ReferenceValues"]
    assert values["snp"] == [{"TrustedMeasurement": SNP}]
    assert values["tdx"] == [{"MrTd": MRTD, "Rtmrs": ["", RTMR1, "", "00" * 48]}]


def test_registers_of_one_boot_stand_together():
    digests = (
        LaunchDigest(technology="tdx", register="MRTD", algorithm="sha384", digest=MRTD, variant="single-pass"),
        *(
            LaunchDigest(technology="tdx", register="RTMR1", algorithm="sha384", digest=RTMR1, boot=boot)
            for boot in ("image@0", "image@1")
        ),
        LaunchDigest(technology="tdx", register="RTMR2", algorithm="sha384", digest=RTMR2, boot="image@1"),
    )
    records = [replace(RECORDS[0], prediction=LaunchPrediction(digests))]

    assert json.loads(reference.contrast_manifest(records))["ReferenceValues"]["tdx"] == [
        {"MrTd": MRTD, "Rtmrs": ["", RTMR1, "", "00" * 48]},
        {"MrTd": MRTD, "Rtmrs": ["", RTMR1, RTMR2, "00" * 48]},
    ]
    assert reference.trustee_values(records) == {"mr_td": [MRTD], "rtmr_1": [RTMR1], "rtmr_2": [RTMR2]}

    (comid,) = re.findall(r"506\(h'([0-9a-f]+)'\)", diagnosed(corim.encode("acme", "41", records)))
    assert f"14:{{2:[[7,h'{RTMR2}']]}}" in diagnosed(bytes.fromhex(comid))


def test_the_neutral_document_has_everything():
    document = json.loads(encode_json(to_document(RECORDS)))
    assert document["version"] == 1
    assert document["launches"][0] == {
        "firmware": "ovmf", "profile": None, "firmware-sha256": "44" * 32, "policy": None, "technology": "sev-snp",
        "register": "MEASUREMENT", "algorithm": "sha384", "digest": SNP, "vmm": "qemu", "vcpus": 4,
        "cpu-model": "EPYC-Milan", "guest-features": 1, "boot": None, "variant": None,
    }  # fmt: skip
    assert [note["message"] for note in document["notes"]] == ["RTMR0 is not decided"]


def test_the_document_is_read_back_without_its_notes():
    (record,) = from_document(decode_document(encode_json(to_document(RECORDS)), LaunchDocument))
    assert record == replace(RECORDS[0], prediction=replace(RECORDS[0].prediction, notes=()))


@pytest.mark.parametrize(
    "document",
    [None, [], {"version": 2, "launches": []}, {"version": 1}, {"version": 1, "launches": [{"digest": "x"}]}],
)
def test_what_is_no_document_of_launches_is_refused(document: object):
    with pytest.raises(FormatError):
        decode_document(json.dumps(document).encode(), LaunchDocument)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a document of launches and a key."""
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site", "pem", FILE_KEY_PLUGIN))
    place = tmp_path / "place"
    place.mkdir()
    (place / "launch.json").write_bytes(encode_json(to_document(RECORDS)))
    write_key(place / "key.pem", memory_key().private)
    return place


VERB = ("--plugin", "coco", "--plugin", "pem", "reference-values")


@pytest.mark.parametrize(
    ("form", "expected"),
    [("rvps", reference.trustee_message(RECORDS)), ("contrast", reference.contrast_manifest(RECORDS))],
)
def test_the_verb_writes_the_same_as_a_build(bench: Path, form: str, expected: bytes):
    succeed(bench, *VERB, form, "launch.json", "-o", "values")
    assert (bench / "values").read_bytes() == expected


def test_the_verb_signs_a_corim(bench: Path):
    succeed(bench, *VERB, "corim", "launch.json", "-o", "a.corim", "--name", "acme")
    key = ("--key", 'backend = "pem", key = "key.pem"')
    succeed(bench, *VERB, "corim", "launch.json", "-o", "b.corim", "--name", "acme", *key)
    assert CoseMessage.decode((bench / "b.corim").read_bytes()).payload == (bench / "a.corim").read_bytes()


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["rvps", "launch.json", "--key", 'backend = "pem", key = "key.pem"']),
        (2, ["policy", "launch.json"]),
        (1, ["rvps", "key.pem"]),
        (1, ["rvps", "nowhere"]),
        (4, ["corim", "launch.json", "--key", 'backend = "pem", key = "nowhere"']),
    ],
)
def test_a_mistake_of_the_verb_is_one_error(bench: Path, code: int, arguments: list[str]):
    outcome = invoke(bench, *VERB, *arguments, "-o", "values")
    assert (outcome.code, outcome.out, outcome.err.lower().count("error:")) == (code, "", 1)
    assert not (bench / "values").exists()


@pytest.mark.parametrize("form", ["rvps", "contrast", "corim"])
def test_reference_values_do_not_replace_what_they_are_made_of(tmp_path: Path, form: str):
    (tmp_path / "launches.json").write_bytes(encode_json(to_document(RECORDS)))
    error = refused(tmp_path, "--plugin", "coco", "reference-values", form, "launches.json", "-o", "./launches.json")
    assert "would replace the input launches.json" in error
