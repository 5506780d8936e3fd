"""What was changed after it was predicted is noticed: exit code 3, and the first event that differs is named."""

from pathlib import Path

import pytest
from fuki_qemu import esp

from fuki_build import inspect
from tests.support.bootable import build

BANKS = ("sha1", "sha256", "sha384", "sha512")


def change(image: Path, name: str, target: Path) -> None:
    """A copy of the image with one bit of one byte of a section changed, the last that is there."""
    (section,) = [placed for placed in inspect(image).sections if placed.name == name]
    data = bytearray(image.read_bytes())
    data[section.header.raw_offset + section.section.content.size - 1] ^= 1
    target.write_bytes(data)


@pytest.mark.parametrize(
    ("section", "registers"),
    [
        (".osrel", {4, 9, 11}),  # the stub hands it over in the initrd
        (".cmdline", {4, 9, 11}),
        (".initrd", {4, 9, 11}),
        (".uname", {4, 11}),
    ],
)
def test_one_bit_of_a_section(section, registers, bench, tmp_path, monkeypatch):
    image = build(tmp_path / "image")
    write = esp.write

    def write_changed(path: Path, original: Path, addons: dict[str, Path]) -> None:
        change(original, section, tmp_path / "changed.efi")
        write(path, tmp_path / "changed.efi", addons)

    monkeypatch.setattr(esp, "write", write_changed)
    booted = bench.boot(image, code=3)
    verdicts = {key: row["verdict"] for key, row in booted.compared.items() if key[1]}
    assert {int(subject[4:]) for (subject, _), verdict in verdicts.items() if verdict == "different"} == registers
    assert all(verdicts[f"PCR {pcr}", bank] == "different" for pcr in registers for bank in BANKS)
    assert f"was to be content of {section}, and is" in booted.compared["PCR 11", "sha256"]["difference"]
