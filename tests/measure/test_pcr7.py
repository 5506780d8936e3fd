"""PCR 7 as real machines had it, from their variables; and what in db vouches for an image."""

import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import pcr_text
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.measure.events import Measurer, register
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState, authority_events, variable_events
from fuki_build.measure.registers import BANKS
from fuki_build.measure.secure_boot_files import read_policy
from fuki_build.signing.secure_boot.authority import authority

LOGS = Path(__file__).parents[1] / "data" / "event-logs"
VARIABLES = ("PK", "KEK", "db", "dbx")
OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


def enrolled() -> dict[str, bytes]:
    return {name: (LOGS / f"{name}.esl").read_bytes() for name in ("PK", "KEK", "db", "dbx")}


def vouching() -> bytes:
    """The one entry of db: owner and certificate."""
    (only,) = efi_signature_list.decode(enrolled()["db"])
    (entry,) = only.signatures
    return entry.owner.bytes_le + entry.data


POLICIES = {
    # One certificate vouches for the image and for its addon, and is measured once.
    "secure-boot-on": SecureBootPolicy(
        SecureBootState.ON, enrolled(), {"the image": vouching(), "more.addon.efi": vouching()}
    ),
    "secure-boot-off": SecureBootPolicy(SecureBootState.OFF, {}),
    # This build of edk2 has no Secure Boot.
    "disk-262": SecureBootPolicy(SecureBootState.ABSENT, {}),
}


@pytest.mark.parametrize("name", POLICIES)
def test_register_7_is_what_a_real_machine_had(name):
    policy = POLICIES[name]
    events = [*variable_events(policy, tuple(BANKS)), *authority_events(policy, tuple(BANKS)).values()]
    values = pcr_text.decode((LOGS / f"{name}.pcrs").read_text())
    for bank in BANKS:
        assert register(events, 7, bank) == values[bank, 7]


def test_without_anything_that_vouches_the_value_cannot_be_told():
    policy = SecureBootPolicy(SecureBootState.ON, enrolled(), {"the image": b""})
    (event,) = authority_events(policy, ("sha256",)).values()
    assert "refuses" in event.unknown
    assert register([event], 7, "sha256") is None


def test_the_events_are_of_the_types_that_the_profile_specification_has():
    policy = POLICIES["secure-boot-on"]
    variables = list(variable_events(policy, ("sha256",)))
    (authority_event,) = authority_events(policy, ("sha256",)).values()
    assert [event.type for event in variables] == ["EV_EFI_VARIABLE_DRIVER_CONFIG"] * 5 + ["EV_SEPARATOR"]
    assert [event.source for event in variables[:5]] == [f"variable {name}" for name in ("SecureBoot", *VARIABLES)]
    assert authority_event.type == "EV_EFI_VARIABLE_AUTHORITY"
    assert authority_event.source == "variable db"
    assert {event.by for event in (*variables, authority_event)} == {Measurer.FIRMWARE}
    assert [event.pcr for event in (*variables, authority_event)] == [7] * 7


def test_each_event_tells_what_it_is_about():
    policy = POLICIES["secure-boot-on"]
    state, *variables, separator = (event.what for event in variable_events(policy, ("sha256",)))
    assert state == "SecureBoot is on"
    sizes = {name: (LOGS / f"{name}.esl").stat().st_size for name in VARIABLES}
    assert variables == [f"{name}, {size} bytes" for name, size in sizes.items()]
    assert "end" in separator
    assert [event.what for event in authority_events(policy, ("sha256",)).values()] == [
        "what vouches for the image in db"
    ]


def test_nothing_is_authorized_where_secure_boot_is_off():
    policy = SecureBootPolicy(state=SecureBootState.OFF, variables={}, authorities={"the image": vouching()})
    assert not authority_events(policy, ("sha256",))


def test_a_program_that_nothing_vouches_for_has_an_event_without_digests():
    policy = SecureBootPolicy(SecureBootState.ON, enrolled(), {"the image": b""})
    (event,) = authority_events(policy, ("sha256",)).values()
    assert (event.type, event.source, event.by) == ("EV_EFI_VARIABLE_AUTHORITY", "variable db", Measurer.FIRMWARE)
    assert (event.what, event.digests) == ("what vouches for the image in db", {})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A certificate authority, and a signer that it issued."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=own")
    openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "own.pem")
    return tmp_path


def der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def vouched(image: Path, *lists: efi_signature_list.SignatureList) -> bytes:
    layout = inspect(image)
    return authority(layout, assemble(layout), efi_signature_list.encode(lists))


def test_the_entry_of_db_that_vouches_is_the_first_in_the_signatures_chain(keys, part):
    signed = keys / "signed.efi"
    own = ["--key", keys / "own.key", "--cert", keys / "own.pem"]
    command = ["sbsign", *own, "--output", signed, part("stub-x64")]
    subprocess.run(command, check=True, capture_output=True)
    other = efi_signature_list.certificate_list(vouching()[16:], OWNER)
    ca, leaf = (efi_signature_list.certificate_list(der(keys / f"{n}.pem"), OWNER) for n in ("ca", "own"))
    assert vouched(signed, other, ca, leaf) == OWNER.bytes_le + der(keys / "ca.pem")
    assert vouched(signed, leaf, ca) == OWNER.bytes_le + der(keys / "own.pem")
    assert vouched(signed, other) == b""


def test_a_digest_in_db_vouches_for_an_unsigned_image(part):
    digest = bytes.fromhex(assemble(inspect(part("stub-x64"))).authenticode)
    assert vouched(part("stub-x64"), efi_signature_list.hash_list(SignatureType.SHA256, [digest], OWNER)) == (
        OWNER.bytes_le + digest
    )
    assert vouched(part("stub-257-x64"), efi_signature_list.hash_list(SignatureType.SHA256, [digest], OWNER)) == b""


def test_a_damaged_db_is_refused(part):
    layout = inspect(part("stub-x64"))
    with pytest.raises(FormatError):
        authority(layout, assemble(layout), enrolled()["db"][:-1])


@pytest.mark.parametrize(("name", "state"), [("ovmf-vars", SecureBootState.OFF), ("ovmf-vars-ms", SecureBootState.ON)])
def test_a_store_with_keys_has_secure_boot_on_unless_it_says_otherwise(part, name, state):
    """edk2's AuthVariableLib makes a missing SecureBootEnable; CODE_4M.secboot of 2026.08 measured 01 with this."""
    policy = read_policy(part(name), (), None)
    assert policy is not None
    assert policy.state is state
