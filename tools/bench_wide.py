"""Write an image of many profiles and firmware images: `bench_wide.py IMAGE PROFILES FIRMWARE`.

A process of its own: what bench.py loads would count as memory of the commands that it measures. The image has no stub,
whose header would be too small for so many sections.
"""

import sys
from pathlib import Path
from uuid import UUID

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.output_file import OutputFile
from fuki_build.image.plan import plan
from fuki_build.image.section import Section


def main(path: Path, profiles: int, firmware: int) -> None:
    devices = [Device(DeviceType.UEFI_FW, "x", f"f{n}", frozenset({UUID(int=n + 1)})) for n in range(firmware)]
    contents: list[tuple[str, bytes, int | None]] = [(".linux", b"kernel", None), (".uname", b"7.0", None)]
    if firmware:
        contents.append((".hwids", hwids.encode(devices), None))
    contents += [(".efifw", efifw.encode_header(f"f{n}", 7) + b"payload", None) for n in range(firmware)]
    contents += [(".profile", b"ID=p%d\n" % number, number) for number in range(profiles)]
    sections = [Section(name=n, content=Blob.of_bytes(data), source="", profile=p) for n, data, p in contents]
    image = Image(kind=ImageKind.UKI, name="wide", machine=CoffMachine.x64, stub=None, sections=tuple(sections))
    with OutputFile(path) as output:
        assemble(plan(image), [output])
        output.commit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
