"""Tables of the recipe about firmware: where it comes from, whose it is, and how it is changed.

Field names are the recipe's keys, in kebab-case there.
"""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from fuki_build.formats.confidential.id_block import DEFAULT_POLICY
from fuki_build.image.wrapping import DATA_ADDRESS
from fuki_build.recipe.model import Table


class WrapPlatform(StrEnum):
    """What firmware is wrapped for, by the recipe's names."""

    NATIVE = "native"
    SEV_SNP = "sev-snp"


class DataName(StrEnum):
    """Kinds of data in wrapped firmware, by the recipe's names."""

    PK = "PK"
    KEK = "KEK"
    DB = "db"
    DBX = "dbx"
    SHIM = "shim"
    KERNEL = "kernel"


class EnrollTable(Table, frozen=True, kw_only=True):
    """`enroll` of a `[[fuki.firmware]]`: Secure Boot keys that its variable store is to hold."""

    pk: Annotated[str, Meta(description="certificate of the platform key, PEM or DER")]
    kek: Annotated[tuple[str, ...], Meta(description="certificates for KEK")] = ()
    db: Annotated[tuple[str, ...], Meta(description="certificates for db")] = ()
    dbx: Annotated[
        tuple[str, ...],
        Meta(description="what to revoke besides: signature lists, .auth files, certificates, or SHA-256 hashes"),
    ] = ()
    owner: Annotated[UUID | None, Meta(description="GUID of the entries' owner; by default it follows from pk")] = None
    microsoft: Annotated[bool, Meta(description="whether KEK and db hold Microsoft's certificates too")] = False
    secure_boot: Annotated[bool, Meta(description="whether Secure Boot is switched on")] = True
    backend: Annotated[str, Meta(description="the enroller of a plugin")] = "virt-firmware"


class IgvmDataTable(Table, frozen=True):
    """An item of `data` of `igvm`: something that the firmware finds in its memory."""

    kind: Annotated[
        DataName,
        Meta(
            description="kernel, an EFI image such as a UKI; shim, which is to start it; or the Secure Boot variables "
            "PK, KEK, db and dbx, all four, which only confidential guests take"
        ),
    ]
    file: Annotated[str, Meta(description="an EFI image, or a variable as .auth file")]


class IgvmTable(Table, frozen=True, kw_only=True):
    """`igvm` of a `[[fuki.firmware]]`: the firmware as an IGVM file; `igvm = {}` wraps it as most want it."""

    platforms: Annotated[
        tuple[WrapPlatform, ...],
        Meta(
            min_length=1,
            description="what the file can be started on: native, for guests that are not confidential, and sev-snp",
        ),
    ] = (WrapPlatform.NATIVE, WrapPlatform.SEV_SNP)
    policy: Annotated[int, Meta(ge=0, description="guest policy of SEV-SNP; by default 0x30000")] = DEFAULT_POLICY
    cpu_signature: Annotated[
        int,
        Meta(
            ge=0,
            le=0xFFFFFFFF,
            description="what RDX has at the start of SEV-SNP guests, which is measured: "
            "a CPU signature, or 0 for one digest on all CPUs",
        ),
    ] = 0
    snp_parameters: Annotated[
        bool,
        Meta(
            description="whether SEV-SNP guests, too, get memory map and number of vCPUs through the file, "
            "which changes their launch digest"
        ),
    ] = False
    id_block: Annotated[
        str | None, Meta(description="what 'fuki id-block' wrote: NAME.id-block and NAME.id-auth, given as NAME")
    ] = None
    data: Annotated[tuple[IgvmDataTable, ...], Meta(description="what the firmware finds in memory")] = ()
    data_address: Annotated[
        int, Meta(ge=0, description="where that starts; by default at 64 MiB, which OVMF leaves alone")
    ] = DATA_ADDRESS


class FirmwareTable(Table, frozen=True, kw_only=True):
    """`[[fuki.firmware]]`: one firmware image; the keys that its source takes stand beside these."""

    source: Annotated[
        str,
        Meta(
            description="where it comes from: directory, file, command, deb, or a plugin's; by default what is at "
            "`path`, a directory or a file"
        ),
    ] = "file"
    id: Annotated[str | None, Meta(description="the fwid; by default what the source suggests")] = None
    name: Annotated[str | None, Meta(description="name of the machines in .hwids; by default the fwid")] = None
    platforms: Annotated[tuple[str, ...], Meta(description="platforms that use it, 'name' or 'name:selector'")] = ()
    machines: Annotated[tuple[str, ...], Meta(description="machine files or SMBIOS dumps of its machines")] = ()
    match: Annotated[dict[str, str], Meta(description="SMBIOS strings that its machines share")] = {}  # noqa: RUF012 - msgspec copies it
    chid_types: Annotated[
        tuple[int, ...],
        Meta(description="CHID types to list machines under; by default the widest unambiguous one"),
    ] = ()
    hwids: Annotated[str | tuple[str, ...], Meta(description="systemd's hardware id JSON for it")] = ()
    chids: Annotated[tuple[str, ...], Meta(description="hardware ids of its machines, as UUIDs")] = ()
    enroll: Annotated[EnrollTable | None, Meta(description="Secure Boot keys to put into it")] = None
    igvm: Annotated[IgvmTable | None, Meta(description="makes an IGVM file of it, after keys were enrolled")] = None
