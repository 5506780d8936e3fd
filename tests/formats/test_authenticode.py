import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from struct import pack

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import signed_data
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.pe.minimal_image import minimal_image
from tests.support.signature_shapes import STRUCTURES, digest_of, padded

Part = Callable[[str], Path]
Sign = Callable[[Path], Path]


def write_key_and_certificate(key: Path, certificate: Path) -> None:
    private = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(private, hashes.SHA256())
    )

    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(pem, form, serialization.NoEncryption()))
    certificate.write_bytes(signed.public_bytes(pem))


@pytest.fixture(scope="module")
def sign(tmp_path_factory: pytest.TempPathFactory) -> Sign:
    """Sign a copy of an image with sbsign and a key made for it."""
    directory = tmp_path_factory.mktemp("signed")
    key, certificate = directory / "db.key", directory / "db.crt"
    write_key_and_certificate(key, certificate)

    def run(image: Path) -> Path:
        signed = directory / f"{image.name}.{len(list(directory.iterdir()))}"
        command: list[str | Path] = ["sbsign", "--key", key, "--cert", certificate, "--output", signed, image]
        subprocess.run(command, check=True, capture_output=True)
        return signed

    return run


def decode_file(path: Path) -> tuple[pe.PeHeaders, bytes]:
    data = path.read_bytes()
    return pe.decode(data[: pe.HEAD_SIZE], len(data)), data


def our_digest(path: Path) -> str:
    headers, data = decode_file(path)
    ranges = authenticode.digest_ranges(headers, len(data))
    digest = hashlib.sha256(b"".join(data[start:end] for start, end in ranges))
    digest.update(authenticode.padding(ranges[-1][1]))
    return digest.hexdigest()


def osslsigncode_digests(path: Path) -> set[str]:
    """What the signature says and what osslsigncode computes; the chain of trust is no concern here."""
    done = subprocess.run(["osslsigncode", "verify", "-in", path], capture_output=True, text=True, check=False)
    matches = re.findall(r"^(?:Current|Calculated) message digest\s*: ([0-9A-F]{64})", done.stdout, re.MULTILINE)
    assert len(matches) == 2, done.stdout + done.stderr
    return {digest.lower() for digest in matches}


@pytest.mark.parametrize("name", ["kernel-x64", "kernel-aa64"])
def test_the_digest_of_a_kernel_signed_by_debian_is_the_one_in_its_signature(part: Part, name: str):
    assert {our_digest(part(name))} == osslsigncode_digests(part(name))


@pytest.mark.parametrize("name", ["stub-x64", "stub-aa64", "stub-257-x64", "addon-stub-x64"])
def test_the_digest_of_an_unsigned_image_is_the_one_that_sbsign_signs(part: Part, sign: Sign, name: str):
    assert {our_digest(part(name))} == osslsigncode_digests(sign(part(name)))


@pytest.mark.parametrize("name", ["stub-x64", "addon-stub-aa64"])
def test_signing_does_not_change_the_digest(part: Part, sign: Sign, name: str):
    assert our_digest(sign(part(name))) == our_digest(part(name))


@pytest.mark.parametrize("extra", [1, 7, 8, 13])
def test_data_behind_the_sections_are_part_of_the_digest_and_padded(part: Part, sign: Sign, tmp_path: Path, extra: int):
    image = tmp_path / "image.efi"
    image.write_bytes(part("addon-stub-x64").read_bytes() + b"x" * extra)
    assert {our_digest(image)} == osslsigncode_digests(sign(image))


def test_the_checksum_is_no_part_of_the_digest(part: Part, tmp_path: Path):
    headers, data = decode_file(part("stub-x64"))
    changed = tmp_path / "changed.efi"
    changed.write_bytes(data[: headers.checksum_offset] + b"\1\2\3\4" + data[headers.checksum_offset + 4 :])
    assert our_digest(changed) == our_digest(part("stub-x64"))


def test_ranges_ascend_up_to_the_certificate_table(part: Part):
    headers, data = decode_file(part("kernel-x64"))
    ends = [0]
    for start, end in authenticode.digest_ranges(headers, len(data)):
        assert ends[-1] <= start < end
        ends.append(end)
    assert ends[-1] == headers.security.address


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_digest_of_an_odd_image_is_the_one_that_edk2_and_sbsign_compute(sign: Sign, tmp_path: Path, structure: str):
    """Bytes before the end of the last section that belong to none are not hashed, but count (HashPeImage)."""
    data = padded(STRUCTURES[structure]())
    image = tmp_path / "image.efi"
    image.write_bytes(data)
    assert our_digest(image) == digest_of(data, "sha256").hex()

    headers, signed = decode_file(sign(image))
    place = headers.security
    (entry,) = authenticode.certificates(signed[place.address : place.address + place.size], place.address)
    content = signed[entry.offset + 8 : entry.offset + entry.size]
    assert our_digest(image) == signed_data.decode(content).digest.hex()


def test_an_image_without_sections_is_hashed_whole():
    headers = minimal_image(pe.CoffMachine.x64, slots=1)
    end = headers.optional.size_of_headers
    directory = headers.directories_offset + 4 * 8
    assert authenticode.uncovered(headers) == 0
    assert authenticode.digest_ranges(headers, end + 10) == (
        (0, headers.checksum_offset),
        (headers.checksum_offset + 4, directory),
        (directory + 8, end),
        (end, end + 10),
    )


def test_entries_stand_at_multiples_of_eight():
    table = b"".join(pack("<IHH", size, 0x200, 2).ljust(-(-size // 8) * 8, b"\0") for size in (9, 16, 8))
    assert [(c.offset, c.size) for c in authenticode.certificates(table, 64)] == [(64, 9), (80, 16), (96, 8)]


def test_overlapping_sections_have_no_digest(part: Part):
    headers, data = decode_file(part("stub-x64"))
    second = headers.sections[1]._replace(raw_offset=headers.sections[0].raw_offset)
    overlapping = headers.with_sections((headers.sections[0], second))
    with pytest.raises(FormatError, match="overlaps"):
        authenticode.digest_ranges(overlapping, len(data))


def test_a_section_inside_the_headers_has_no_digest(part: Part):
    headers, data = decode_file(part("stub-x64"))
    inside = headers.with_sections((headers.sections[0]._replace(raw_offset=64),))
    with pytest.raises(FormatError, match="overlaps"):
        authenticode.digest_ranges(inside, len(data))


def test_a_certificate_table_over_sections_has_no_digest(part: Part):
    headers, data = decode_file(part("stub-x64"))
    directories = list(headers.directories)
    directories[pe.SECURITY_DIRECTORY] = pe.Directory(0, len(data) - 1024)
    with pytest.raises(FormatError, match="certificate table overlaps"):
        authenticode.digest_ranges(replace(headers, directories=tuple(directories)), len(data))


def test_an_image_with_few_directories_has_only_its_checksum_left_out(part: Part):
    headers, data = decode_file(part("stub-x64"))
    ranges = authenticode.digest_ranges(replace(headers, directories=headers.directories[:4]), len(data))
    assert ranges[0] == (0, headers.checksum_offset)
    assert ranges[1] == (headers.checksum_offset + 4, headers.optional.size_of_headers)


@pytest.mark.parametrize("name", ["kernel-x64", "kernel-aa64"])
def test_debians_kernels_carry_one_signature(part: Part, name: str):
    headers, data = decode_file(part(name))
    place = headers.security
    certificates = authenticode.certificates(data[place.address : place.address + place.size], place.address)
    assert [(c.offset, c.revision, c.kind) for c in certificates] == [
        (place.address, 0x0200, authenticode.AUTHENTICODE)
    ]
    assert certificates[0].size <= place.size < certificates[0].size + 8


def test_two_signatures_are_found_as_sbverify_lists_them(part: Part, sign: Sign):
    signed = sign(sign(part("addon-stub-x64")))
    listing = subprocess.run(["sbverify", "--list", signed], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^signature \d+$", listing, re.MULTILINE) == ["signature 1", "signature 2"]
    headers, data = decode_file(signed)
    place = headers.security
    certificates = authenticode.certificates(data[place.address : place.address + place.size], place.address)
    assert [c.kind for c in certificates] == [authenticode.AUTHENTICODE] * 2


def test_a_signature_taken_out_by_sbattach_stands_where_its_entry_says(part: Part, sign: Sign, tmp_path: Path):
    signed = tmp_path / "signed.efi"
    shutil.copyfile(sign(part("stub-x64")), signed)
    detached = tmp_path / "signature.p7"
    subprocess.run(["sbattach", "--detach", detached, signed], check=True, capture_output=True)
    headers, data = decode_file(signed)
    place = headers.security
    (entry,) = authenticode.certificates(data[place.address : place.address + place.size], place.address)
    assert data[entry.offset + 8 : entry.offset + entry.size].startswith(detached.read_bytes())


@pytest.mark.parametrize("name", ["stub-x64", "addon-stub-x64"])
def test_an_entry_and_its_place_are_written_as_sbsign_writes_them(part: Part, sign: Sign, name: str):
    headers, data = decode_file(sign(part(name)))
    place = headers.security
    (entry,) = authenticode.certificates(data[place.address : place.address + place.size], place.address)
    signature = data[entry.offset + 8 : entry.offset + entry.size]
    assert authenticode.signature_in(entry, signature) == signature
    written = authenticode.encode_certificate(signature)
    assert written == data[place.address :]

    unsigned, _ = decode_file(part(name))
    at, patch = authenticode.security_patch(unsigned, place.address, len(written))
    assert at == unsigned.directories_offset + 4 * 8
    assert patch == data[at : at + 8]


def test_a_header_of_four_directories_has_no_place_for_a_signature(part: Part):
    headers, _ = decode_file(part("stub-x64"))
    with pytest.raises(FormatError, match="no room for a signature"):
        authenticode.security_patch(replace(headers, directories=headers.directories[:4]), 0x1000, 8)


# UEFI 2.10, 32.2.4: WIN_CERT_TYPE_EFI_GUID is 0x0EF1, and the GUID of PKCS#7 stands before the signature.
PKCS7_GUID = bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7")


@pytest.mark.parametrize(
    ("kind", "content", "signature"),
    [
        pytest.param(0x0EF1, PKCS7_GUID + b"\x30\x00", b"\x30\x00", id="a signature behind its GUID"),
        pytest.param(0x0EF1, bytes(16) + b"\x30\x00", None, id="another GUID"),
        pytest.param(0x0EF0, PKCS7_GUID + b"\x30\x00", None, id="PKCS#1"),
        pytest.param(0x0002, PKCS7_GUID, PKCS7_GUID, id="Authenticode, whatever it begins with"),
    ],
)
def test_what_firmware_takes_of_an_entry(kind: int, content: bytes, signature: bytes | None):
    entry = authenticode.WinCertificate(0, 8 + len(content), 0x0200, kind)
    assert authenticode.signature_in(entry, content) == signature


def test_an_entry_may_be_its_header_alone():
    assert authenticode.certificates(pack("<IHH", 8, 0x200, 2), 16) == ((16, 8, 0x200, 2),)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pack("<IHH", 7, 0x200, 2), id="an entry smaller than its own header"),
        pytest.param(pack("<IHH", 0, 0x200, 2), id="an entry of no size"),
        pytest.param(pack("<IHH", 17, 0x200, 2) + bytes(8), id="an entry larger than the table"),
        pytest.param(pack("<IHH", 8, 0x200, 2) + b"\1\2\3", id="a tail that is no entry"),
    ],
)
def test_a_damaged_certificate_table_is_refused(table: bytes):
    with pytest.raises(FormatError, match="certificate table"):
        authenticode.certificates(table, 0)
