"""Variables that a boot needs, as virt-firmware reads them."""

import subprocess
import sys
from pathlib import Path

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import variable_store

from fuki_qemu.boot_option import with_boot_option, with_trusted_hash


def read_with_virt_firmware(store: bytes, directory: Path) -> str:
    path = directory / "store.fd"
    path.write_bytes(store)
    program = Path(sys.executable).parent / "virt-fw-vars"
    done = subprocess.run(
        [program, "--input", path, "--print", "--verbose"], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_virt_firmware_reads_the_boot_option_that_was_written(part, tmp_path: Path):
    store = with_boot_option(part("ovmf-vars").read_bytes(), r"\EFI\BOOT\BOOTX64.EFI", "@1 quiet")
    assert len(store) == part("ovmf-vars").stat().st_size
    text = read_with_virt_firmware(store, tmp_path)
    assert "BootOrder" in text
    assert r"\EFI\BOOT\BOOTX64.EFI" in text
    variables = {variable.name: variable for variable in variable_store.decode(Reader.of(store)) or ()}
    assert variables["BootOrder"].data == b"\0\0"
    assert variables["Boot0000"].data.endswith("@1 quiet\0".encode("utf-16-le"))


def test_a_trusted_hash_stands_behind_what_db_had(part, tmp_path: Path):
    digest = bytes(range(32))
    before = part("ovmf-vars-ms").read_bytes()
    store = with_trusted_hash(before, digest)
    text = read_with_virt_firmware(store, tmp_path)
    assert "EfiCertSha256" in text[text.index("name=db ") :].partition("name=dbx ")[0]
    old = {variable.name: variable for variable in variable_store.decode(Reader.of(before)) or ()}
    new = {variable.name: variable for variable in variable_store.decode(Reader.of(store)) or ()}
    assert new["db"].data.startswith(old["db"].data)
    assert new["db"].data.endswith(digest)

    assert {name: variable for name, variable in new.items() if name != "db"} == {
        name: variable for name, variable in old.items() if name != "db"
    }


def test_a_store_without_db_trusts_nothing_and_stays_as_it_is(part):
    store = part("ovmf-vars").read_bytes()
    assert with_trusted_hash(store, bytes(32)) == store
