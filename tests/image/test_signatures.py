"""Certificate tables: what is attached is read again, and nothing else of a file changes."""

import pefile
import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.pe import authenticode
from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.image.output_file import OutputFile
from fuki_build.image.signatures import attach, certificates, kept_table, read_certificate, signed_content, with_table

TABLE = authenticode.encode_certificate(b"first") + authenticode.encode_certificate(b"the second one")


def sign(source, target, table=TABLE):
    layout = inspect(source)
    with OutputFile(target) as file:
        assemble(layout, [file])
        attach(layout, table, file)
        file.commit()
    return inspect(target)


def contents(layout):
    return [read_certificate(layout, entry).rstrip(b"\0") for entry in certificates(layout)]


@pytest.mark.parametrize("name", ["stub-x64", "kernel-x64", "addon-stub-aa64", "addon-stub-ia32"])
def test_what_is_attached_is_read_again(part, tmp_path, name):
    signed = sign(part(name), tmp_path / "signed.efi")
    assert contents(signed) == [b"first", b"the second one"]
    assert assemble(signed).authenticode == assemble(inspect(part(name))).authenticode


def test_a_checksum_that_was_set_is_kept_right(part, tmp_path):
    sign(part("kernel-x64"), tmp_path / "signed.efi")
    with pefile.PE(str(tmp_path / "signed.efi"), fast_load=True) as image:
        assert image.OPTIONAL_HEADER.CheckSum == image.generate_checksum() != 0


@pytest.mark.parametrize("more", range(1, 9))
def test_a_file_of_any_size_is_padded_before_its_signature(part, tmp_path, more):
    (tmp_path / "odd.efi").write_bytes(part("addon-stub-x64").read_bytes() + b"x" * more)
    signed = sign(tmp_path / "odd.efi", tmp_path / "signed.efi")
    assert signed.headers.security.address % 8 == 0
    assert contents(signed) == [b"first", b"the second one"]
    assert assemble(signed).authenticode == assemble(inspect(tmp_path / "odd.efi")).digest_to_sign("sha256")


def test_an_empty_table_removes_the_signatures(part, tmp_path):
    signed = sign(part("kernel-x64"), tmp_path / "bare.efi", b"")
    assert certificates(signed) == ()
    assert signed.headers.security == (0, 0)


def test_signed_content_is_the_signed_file(part, tmp_path):
    sign(part("stub-x64"), tmp_path / "signed.efi")
    content = signed_content(inspect(part("stub-x64")), TABLE)
    assert content.read_at(0, content.size) == (tmp_path / "signed.efi").read_bytes()


def test_entries_are_kept_unless_they_are_replaced(part):
    layout = inspect(part("kernel-x64"))
    assert kept_table(layout, replace=False) == layout.certificate_table.read_at(0, 1 << 20)
    assert kept_table(layout, replace=True) == b""


def test_an_image_with_something_behind_its_signatures_is_refused(part, tmp_path):
    (tmp_path / "more.efi").write_bytes(part("kernel-x64").read_bytes() + bytes(8))
    with pytest.raises(FormatError, match="stands behind the image's signatures"):
        with_table(inspect(tmp_path / "more.efi"), TABLE)
