"""The pages and tables of SEV guests, held against those of sev-snp-measure."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sevsnpmeasure import id_block as peer_block
from sevsnpmeasure.sev_hashes import SevHashes
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmsa import VMSA, SevEsSaveArea

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import id_block, reset_registers, sev_hashes, vmsa
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.formats.confidential.igvm import native_context
from fuki_build.formats.confidential.vmsa import Segment

RENAMED = {"dbgctl": "dbgctrl"}  # the manual's name, and the peer's


def test_every_field_of_a_vmsa_stands_where_the_peer_has_it():
    for name, (offset, layout) in vmsa.FIELDS.items():
        field = getattr(SevEsSaveArea, RENAMED.get(name, name))
        assert (field.offset, field.size) == (offset, layout.size), name


def test_a_vmsa_without_fields_is_a_page_of_zeros():
    assert vmsa.encode({}) == bytes(4096)


def test_the_peer_s_vmsa_is_read_and_written_back():
    (page,) = VMSA(SevMode.SEV_SNP, 0x80B004, 0xA00F11, 0x21).pages(1)
    fields = vmsa.decode(page)
    assert fields["cs"] == Segment(0xF000, 0x9B, 0xFFFF, 0xFFFF0000)
    assert (fields["sev_features"], fields["rdx"], fields["x87_fcw"]) == (0x21, 0xA00F11, 0x37F)
    assert vmsa.encode(fields) == page


@pytest.mark.parametrize("signature", [0, 0xA00F11, 0xFFFFFFFF])
def test_the_boot_page_is_the_peer_s(signature: int):
    (page,) = VMSA(SevMode.SEV_SNP, 0, signature, 0x1).pages(1)
    assert reset_registers.snp_boot_page(signature) == page


@pytest.mark.parametrize("start", [0x80B004, 0xFFFF0000, 0x1_0000, 0xFFFF])
def test_a_start_in_real_mode_is_the_peer_s(start: int):
    _, page = VMSA(SevMode.SEV_SNP, start, 0xA00F11, 0x1).pages(2)
    fields = vmsa.decode(page)
    assert reset_registers.real_mode_code(start) == {"cs": fields["cs"], "rip": fields.get("rip", 0)}


def test_a_native_start_is_flat_at_the_reset_vector():
    """SDM, volume 3, 2.5 and 3.4.5: PE, ET and NE; 4 GiB of code and of data, present, of ring 0."""
    registers = native_context.decode(reset_registers.native_boot_context())
    assert registers.rip == (1 << 32) - 16
    assert registers.cr0 == 1 << 0 | 1 << 4 | 1 << 5
    assert (registers.cr3, registers.cr4, registers.efer) == (0, 0, 0)
    assert registers.rflags == 1 << 1

    granular, wide, present, segment = 1 << 15, 1 << 14, 1 << 7, 1 << 4
    executable, writable, accessed = 1 << 3, 1 << 1, 1 << 0
    flat = granular | wide | present | segment | writable | accessed
    assert (registers.code_limit, registers.data_limit) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert (registers.code_attributes, registers.data_attributes) == (flat | executable, flat)
    assert (registers.code_selector, registers.data_selector) == (1 * 8, 2 * 8)
    assert (registers.gdtr_limit, registers.idtr_limit) == (0xFFFF, 0xFFFF)


@pytest.mark.parametrize("name", ["ovmf-generic", "ovmf-2022", "ovmf-inteltdx"])
def test_ovmf_starts_in_protected_mode_and_others_need_not(part, name: str):
    vector = part(name).read_bytes()[-16:]
    assert reset_registers.starts_in_protected_mode(vector)
    assert not reset_registers.starts_in_protected_mode(vector[:4] + bytes(12))
    assert not reset_registers.starts_in_protected_mode(b"\x90" + vector[:15])


def test_a_value_that_does_not_fit_a_register_is_refused():
    with pytest.raises(FormatError, match="mxcsr"):
        vmsa.encode({"mxcsr": 1 << 32})


@pytest.mark.parametrize("size", [0, 4095, 4097])
def test_what_is_no_page_is_no_vmsa(size: int):
    with pytest.raises(FormatError, match="4096"):
        vmsa.decode(bytes(size))


@given(
    kernel=st.binary(max_size=50),
    initrd=st.none() | st.binary(max_size=50),
    cmdline=st.none() | st.text("abc =", max_size=20),
    offset=st.integers(0, 4096 - sev_hashes.SIZE),
)
def test_the_table_of_kernel_hashes_is_the_peer_s(tmp_path_factory, kernel, initrd, cmdline, offset):
    directory: Path = tmp_path_factory.mktemp("hashes")
    (directory / "kernel").write_bytes(kernel)
    if initrd is not None:
        (directory / "initrd").write_bytes(initrd)
    peer = SevHashes(str(directory / "kernel"), str(directory / "initrd") if initrd is not None else "", cmdline or "")
    contents = (kernel, initrd or b"", (cmdline or "").encode() + b"\0")
    table = sev_hashes.encode(*(hashlib.sha256(content).digest() for content in contents))
    assert table == peer.construct_table()
    assert sev_hashes.page(table, 0x810000 + offset) == peer.construct_page(offset)


def test_hashes_that_cross_the_end_of_a_page_are_refused():
    with pytest.raises(FormatError, match="cross"):
        sev_hashes.page(bytes(sev_hashes.SIZE), 0x810000 + 4096 - sev_hashes.SIZE + 1)


def test_hashes_may_stand_at_the_end_of_a_page():
    table = b"\x11" * sev_hashes.SIZE
    assert sev_hashes.page(table, 0x811000 - sev_hashes.SIZE) == bytes(4096 - sev_hashes.SIZE) + table


def test_an_id_block_is_the_peer_s():
    digest = bytes(range(48))
    peer = peer_block.IdBlock(
        launch_digest=peer_block.LaunchDigest.from_buffer_copy(digest),
        ids=peer_block.DefaultIDs,
        version=peer_block.DefaultVersion,
        guest_svn=peer_block.DefaultGuestSVN,
        policy=peer_block.DefaultPolicy,
    )
    assert id_block.encode_block(IdBlock(launch_digest=digest)) == bytes(peer)


@given(
    st.binary(min_size=48, max_size=48),
    st.integers(0, (1 << 64) - 1),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, (1 << 32) - 1),
)
def test_an_id_block_is_read_as_it_was_written(digest: bytes, policy: int, family: bytes, image: bytes, svn: int):
    block = IdBlock(launch_digest=digest, policy=policy, family_id=family, image_id=image, svn=svn)
    assert id_block.decode_block(id_block.encode_block(block)) == block


@given(st.integers(0, (1 << 384) - 1), st.integers(0, (1 << 384) - 1))
def test_keys_and_signatures_are_read_as_they_were_written(one: int, other: int):
    assert id_block.decode_key(id_block.encode_key(one, other)) == (one, other)
    assert id_block.decode_signature(id_block.encode_signature(one, other)) == (one, other)


def test_an_authentication_without_an_author_says_so():
    auth = IdAuth(id_block.encode_signature(1, 2), id_block.encode_key(3, 4))
    encoded = id_block.encode_auth(auth)
    assert len(encoded) == 4096
    assert encoded[4:8] == bytes(4)
    assert id_block.decode_auth(encoded) == auth


@pytest.mark.parametrize(
    "block",
    [
        IdBlock(launch_digest=b""),
        IdBlock(launch_digest=bytes(48), policy=1 << 64),
        IdBlock(launch_digest=bytes(48), family_id=b"x"),
    ],
)
def test_an_id_block_that_does_not_fit_is_refused(block: IdBlock):
    with pytest.raises(FormatError):
        id_block.encode_block(block)


@pytest.mark.parametrize(
    "read", [id_block.decode_block, id_block.decode_auth, id_block.decode_key, id_block.decode_signature]
)
@pytest.mark.parametrize("size", [0, 95, 5000])
def test_data_of_another_size_are_refused(read, size: int):
    with pytest.raises(FormatError, match="bytes"):
        read(bytes(size))


def test_a_key_on_another_curve_is_refused():
    with pytest.raises(FormatError, match="curve 1"):
        id_block.decode_key(b"\x01" + bytes(id_block.KEY_SIZE - 1))


# AMD 56860, tables of chapter 10: where the fields of an ID authentication, a key and a signature stand.
ID_ALGORITHM, AUTHOR_ALGORITHM, BLOCK_SIGNATURE, ID_KEY, KEY_SIGNATURE, AUTHOR_KEY = 0, 4, 0x40, 0x240, 0x680, 0x880
SIGNATURE = b"\x01" + bytes(71) + b"\x02" + bytes(439)
KEY = b"\x02\0\0\0" + b"\x03" + bytes(71) + b"\x04" + bytes(951)


def authentication(*fields: tuple[int, bytes], author: bool = True) -> bytes:
    page = bytearray(4096)
    both = ((ID_ALGORITHM, b"\1"), (BLOCK_SIGNATURE, SIGNATURE), (ID_KEY, KEY))
    authors = ((AUTHOR_ALGORITHM, b"\1"), (KEY_SIGNATURE, SIGNATURE), (AUTHOR_KEY, KEY)) if author else ()
    for offset, content in (*both, *authors, *fields):
        page[offset : offset + len(content)] = content
    return bytes(page)


def test_keys_and_signatures_stand_as_the_firmware_has_them():
    assert (id_block.encode_signature(1, 2), id_block.encode_key(3, 4)) == (SIGNATURE, KEY)


@pytest.mark.parametrize("author", [True, False])
def test_an_authentication_stands_as_the_firmware_has_it(author: bool):
    auth = IdAuth(SIGNATURE, KEY, SIGNATURE, KEY) if author else IdAuth(SIGNATURE, KEY)
    assert id_block.encode_auth(auth) == authentication(author=author)
    assert id_block.decode_auth(authentication(author=author)) == auth


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (authentication((ID_ALGORITHM, b"\2")), "algorithm other than"),
        (authentication((ID_ALGORITHM, b"\0"), author=False), "algorithm other than"),
        (authentication((AUTHOR_ALGORITHM, b"\2")), "algorithm other than"),
        (authentication((AUTHOR_ALGORITHM, b"\0")), "algorithm other than"),
        (authentication((AUTHOR_ALGORITHM, b"\1"), author=False), "and no such key"),
        (authentication((KEY_SIGNATURE, SIGNATURE), author=False), "and no such key"),
        (authentication((8, b"\1")), "the ID authentication has reserved bytes"),
        (authentication((0x644, b"\1")), "the ID authentication has reserved bytes"),
        (authentication((4095, b"\1")), "the ID authentication has reserved bytes"),
    ],
)
def test_an_authentication_that_the_firmware_would_refuse_is_refused(page: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        id_block.decode_auth(page)


def test_reserved_bytes_of_keys_and_signatures_are_zero():
    with pytest.raises(FormatError, match=r"^the public key has reserved bytes"):
        id_block.decode_key(KEY[:-1] + b"\1")
    with pytest.raises(FormatError, match=r"^the signature has reserved bytes"):
        id_block.decode_signature(SIGNATURE[:-1] + b"\1")


@pytest.mark.parametrize("version", [0, 2])
def test_an_id_block_of_another_version_is_refused(version: int):
    block = bytearray(id_block.encode_block(IdBlock(launch_digest=bytes(48))))
    block[80] = version  # behind the digest and two ids
    with pytest.raises(FormatError, match=f"version {version}"):
        id_block.decode_block(bytes(block))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (IdBlock(launch_digest=bytes(47)), "the launch digest of an ID block has 48 bytes, not 47"),
        (IdBlock(launch_digest=bytes(48), image_id=bytes(17)), "the image id of an ID block has 16 bytes, not 17"),
        (IdBlock(launch_digest=bytes(48), svn=1 << 32), "32 bits"),
        (IdBlock(launch_digest=bytes(48), svn=-1), "32 bits"),
        (IdBlock(launch_digest=bytes(48), policy=-1), "64"),
    ],
)
def test_what_does_not_fit_an_id_block_is_told(block: IdBlock, message: str):
    with pytest.raises(FormatError, match=message):
        id_block.encode_block(block)
