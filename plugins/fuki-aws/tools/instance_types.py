"""Write fuki_aws/instance-types.toml from EC2's service model in a wheel of botocore.

pip download --no-deps botocore
python tools/instance_types.py botocore-*.whl fuki_aws/instance-types.toml
"""

import gzip
import json
import re
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

MODEL = "botocore/data/ec2/2016-11-15/service-2.json.gz"

XEN = frozenset(
    "c1 c3 c4 cc1 cc2 cg1 cr1 d2 f1 g2 g3 g3s h1 hi1 hs1 i2 i3 m1 m2 m3 m4 p2 p3 r3 r4 t1 t2 x1 x1e".split()  # noqa: SIM905
)
"""Families from before Nitro, which run on Xen."""

NITRO_OF_XEN = frozenset({"i3.metal"})

SEV_SNP = re.compile(r"AMD SEV-SNP is supported with ([A-Za-z0-9, -]+?) instance types only")

HEADER = """\
# EC2's instance types on Nitro, by family. Written by tools/instance_types.py; not for editing.
# Left out: families on Xen, and Macs, whose SMBIOS strings are Apple's.
"""


def read_model(wheel: Path) -> tuple[str, date, dict[str, Any]]:
    """The version of botocore, the date on which its model was packed, and the model."""
    with zipfile.ZipFile(wheel) as archive:
        packed = date(*archive.getinfo(MODEL).date_time[:3])
        model = json.loads(gzip.decompress(archive.read(MODEL)))
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        version = metadata.split("-")[1].removesuffix(".dist")
    return version, packed, model


def on_nitro(name: str) -> bool:
    family = name.partition(".")[0]
    return (family not in XEN or name in NITRO_OF_XEN) and not family.startswith("mac")


def sev_snp_families(model: dict[str, Any]) -> list[str]:
    """The families named by the documentation of the launch option. Raises `ValueError` if it names none."""
    text = model["shapes"]["CpuOptionsRequest"]["members"]["AmdSevSnp"]["documentation"]
    match = SEV_SNP.search(text)
    if not match:
        raise ValueError(f"this does not name the families with SEV-SNP: {text}")
    return sorted(re.findall(r"[a-z]+\d[\w-]*", match[1].lower()))


def encode(version: str, packed: date, model: dict[str, Any]) -> str:
    families: dict[str, list[str]] = {}
    for name in model["shapes"]["InstanceType"]["enum"]:
        family, _, size = name.partition(".")
        if on_nitro(name):
            families.setdefault(family, []).append(size)

    sev_snp = ", ".join(f'"{family}"' for family in sev_snp_families(model))

    lines = [
        HEADER,
        f'source = "botocore {version}, EC2 API {model["metadata"]["apiVersion"]}, InstanceType"',
        f"date = {packed}",
        "",
        "# Families of which AWS documents AMD SEV-SNP (CpuOptionsRequest, AmdSevSnp); never on bare metal.",
        f"sev-snp = [{sev_snp}]",
        "",
        "[sizes]",
    ]

    lines += [f'{family} = "{" ".join(sizes)}"' for family, sizes in sorted(families.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    wheel, target = map(Path, sys.argv[1:])
    target.write_text(encode(*read_model(wheel)), encoding="utf-8")


if __name__ == "__main__":
    main()
