"""The recipe as typed tables. Field names are the recipe's keys, in kebab-case there."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from fuki_build.formats.confidential.id_block import DEFAULT_POLICY
from fuki_build.hooks.launch import DirectBootMode
from fuki_build.image.wrapping import DATA_ADDRESS
from fuki_build.measure.registers import PHASES
from fuki_build.signing.request import DigestAlgorithm

NAME = r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$"


class Table(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A table of the recipe; keys that are not listed are errors."""


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


class TextFile(Table, frozen=True):
    """Text that is read from a file, as it is: `{ file = "cmdline.txt" }`."""

    file: str


class InlineText(Table, frozen=True):
    """A file's content given in the recipe: `{ text = "ID=acme" }`."""

    text: str


SectionName = Annotated[
    str, Meta(pattern=r"^\.[A-Za-z0-9_.-]{1,7}$", description="a section name: a dot and 1 to 7 characters")
]


class ContentTable(Table, frozen=True, kw_only=True):
    """Content of an image, of a profile (overriding the image's) or of an addon. Paths are relative to the recipe."""

    linux: Annotated[str | None, Meta(description="kernel: an EFI executable, or one compressed as a whole")] = None
    os_release: Annotated[str | InlineText | None, Meta(description="os-release file, or { text = … }")] = None
    cmdline: Annotated[str | TextFile | None, Meta(description="kernel command line, or { file = … }")] = None
    initrd: Annotated[str | tuple[str, ...], Meta(description="initrds, concatenated in this order")] = ()
    ucode: Annotated[str | None, Meta(description="uncompressed initrd with CPU microcode")] = None
    splash: Annotated[str | None, Meta(description="boot picture, a BMP file")] = None
    dtb: Annotated[str | None, Meta(description="devicetree for every machine")] = None
    dtbauto: Annotated[tuple[str, ...], Meta(description="devicetrees to choose from by hardware id")] = ()
    hwids: Annotated[
        str | tuple[str, ...], Meta(description="systemd's hardware id JSON: files, or directories of them")
    ] = ()
    uname: Annotated[
        str | None, Meta(description="kernel release; by default read from the kernel, '' leaves it out")
    ] = None
    pcrpkey: Annotated[
        str | InlineText | None, Meta(description="public key of PCR policies, PEM, or { text = … }")
    ] = None
    sbat: Annotated[
        tuple[str | TextFile, ...] | TextFile,
        Meta(description="SBAT components, a line or a { file = … } each; by default that of UKIs"),
    ] = ()
    sections: Annotated[
        dict[SectionName, str | InlineText],
        Meta(description="further sections by name: a path, or { text = … }"),
    ] = {}


class ImageTable(ContentTable, frozen=True, kw_only=True):
    """`[fuki.image]`: the base, which every profile shares."""

    base: Annotated[
        str | None,
        Meta(description="a finished image to change: its sections stay where the recipe has nothing in their place"),
    ] = None
    remove: Annotated[
        tuple[str, ...],
        Meta(description="what to leave out of the base: sections, SECTION[:KEY][@PROFILE], and profiles, @PROFILE"),
    ] = ()
    stub: Annotated[
        str | None,
        Meta(description="systemd-stub's linux<arch>.efi.stub, or 'auto' for the one installed here"),
    ] = None
    arch: Annotated[
        str | None, Meta(description="x64, aa64, ia32, arm, riscv64 or loongarch64; by default the stub's")
    ] = None
    id: Annotated[str, Meta(description="ID of profile @0, which adds nothing to the base")] = "main"
    title: Annotated[str | None, Meta(description="TITLE of profile @0")] = None
    share_blocks: Annotated[
        bool,
        Meta(
            description="whether large files begin at whole blocks, which btrfs and XFS then share with the image; "
            "other file systems gain nothing"
        ),
    ] = False


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
    match: Annotated[dict[str, str], Meta(description="SMBIOS strings that its machines share")] = {}
    chid_types: Annotated[
        tuple[int, ...],
        Meta(description="CHID types to list machines under; by default the widest unambiguous one"),
    ] = ()
    hwids: Annotated[str | tuple[str, ...], Meta(description="systemd's hardware id JSON for it")] = ()
    chids: Annotated[tuple[str, ...], Meta(description="hardware ids of its machines, as UUIDs")] = ()
    enroll: Annotated[EnrollTable | None, Meta(description="Secure Boot keys to put into it")] = None
    igvm: Annotated[IgvmTable | None, Meta(description="makes an IGVM file of it, after keys were enrolled")] = None


class ProfileTable(ContentTable, frozen=True, kw_only=True):
    """`[[fuki.profile]]`: sections over those of the base."""

    id: Annotated[str, Meta(min_length=1, description="ID of the profile")]
    title: Annotated[str | None, Meta(description="TITLE, shown in boot menus")] = None
    firmware: Annotated[tuple[dict[str, Any], ...], Meta(description="firmware of this profile alone")] = ()


class AddonTable(ContentTable, frozen=True, kw_only=True):
    """`[[fuki.addon]]`: a file of its own that extends the image at boot."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="becomes <name>.addon.efi")]
    stub: Annotated[
        str | None,
        Meta(description="systemd's addon<arch>.efi.stub; by default the addon is made without one"),
    ] = None


class ExpectTable(Table, frozen=True):
    """`[[fuki.expect]]`: what a machine is to select, held against the image by checks and 'fuki match'."""

    machine: Annotated[str, Meta(description="a machine file, or 'platform' or 'platform:selector'")]
    firmware: Annotated[str | None, Meta(description="the fwid; left out, the machine is to select none")] = None
    profile: Annotated[str | None, Meta(description="the id of one profile; by default all")] = None


class SignTable(Table, frozen=True, kw_only=True):
    """`[fuki.sign]`, or several `[[fuki.sign]]`: a signer; the keys that its backend takes stand beside these."""

    backend: Annotated[str, Meta(description="what signs: local, command, or a plugin's")]
    digest: Annotated[DigestAlgorithm, Meta(description="algorithm of the digest: sha256, sha384 or sha512")] = (
        DigestAlgorithm.SHA256
    )
    signing_time: Annotated[
        bool, Meta(description="whether the signature tells a time, which is SOURCE_DATE_EPOCH")
    ] = False
    timestamp: Annotated[str | None, Meta(description="URL of a timestamp authority (RFC 3161) to ask")] = None
    sign_kernel: Annotated[
        bool | Literal["always"],
        Meta(description="whether to sign kernels, too, that are not signed; 'always': those that are, as well"),
    ] = False


class PcrPolicyTable(Table, frozen=True, kw_only=True):
    """`[[fuki.pcr-policy]]`: policies over PCR 11, signed with one key; the keys of its backend stand beside these."""

    backend: Annotated[str, Meta(description="what signs: local, command, or a plugin's with keys")] = "local"
    public_key: Annotated[
        str | None, Meta(description="the public key, PEM or DER; by default that of certificate or key")
    ] = None
    phases: Annotated[
        tuple[str, ...], Meta(description="phase paths to sign for; by default those of systemd-measure")
    ] = PHASES
    banks: Annotated[tuple[str, ...], Meta(description="banks to sign for: sha1, sha256, sha384, sha512")] = ("sha256",)
    profiles: Annotated[tuple[str, ...], Meta(description="ids of profiles to sign for; by default all")] = ()
    reference: Annotated[str | None, Meta(description="policy reference to bind the policies to")] = None
    all_selections: Annotated[
        bool,
        Meta(
            description="whether to sign for every firmware and devicetree that machines may select, and for none; "
            "false: for each devicetree, but as if no firmware matched, as ukify does"
        ),
    ] = True


Sign = dict[str, Any] | tuple[dict[str, Any], ...]

MatrixName = Annotated[
    str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a name for texts: letters, digits and _")
]
AxisValue = Annotated[str, Meta(pattern=NAME)] | int
MatrixTable = dict[MatrixName, str | int]
"""Values by name, of an item of `include` and `exclude`, or what an axis' value brings."""


_MATRIX = Meta(
    description="axes, each a list of values or a table with the variables of each value; every combination is an "
    "image of its own, whose values texts have as {{ matrix.NAME }}. 'include' adds variables or combinations, "
    "'exclude' leaves some out"
)


class MatrixPart(Table, frozen=True):
    """What of a recipe tells its cells, which is known before anything else of it.

    `Recipe` leaves its type to this one: msgspec 0.22 crashes at exit where two structs have such a type.
    """

    matrix: Annotated[dict[MatrixName, tuple[AxisValue | MatrixTable, ...] | dict[str, MatrixTable]], _MATRIX] = {}


class OnFailure(StrEnum):
    """What the machine does where the selected firmware cannot be started."""

    CONTINUE = "continue"
    POWER_OFF = "power-off"


class HandOverTable(Table, frozen=True):
    """`[fuki.hand-over]`: a program before the stub, which has the hypervisor start the selected firmware.

    The keys that its interface takes stand beside these.
    """

    interface: Annotated[str, Meta(description="the hypervisor's interface: one of a plugin's")]
    lasting: Annotated[
        bool, Meta(description="whether for good; by default for one reset, then the host's firmware is back")
    ] = False
    lock: Annotated[
        bool, Meta(description="whether nothing else can be handed over until the host's firmware is back")
    ] = False
    on_failure: Annotated[
        OnFailure,
        Meta(description="what to do where the selected firmware cannot be started: continue, or power-off"),
    ] = OnFailure.CONTINUE


class LaunchTable(Table, frozen=True, kw_only=True):
    """`[[fuki.launch]]`: guests whose launch measurements a build predicts, for the outputs that tell about them."""

    platform: Annotated[
        str | tuple[str, ...], Meta(description="platforms that launch them: 'name' or 'name:selector'")
    ] = ()
    technology: Annotated[
        str | tuple[str, ...], Meta(description="sev, sev-es, sev-snp, tdx, or a plugin's; by default all")
    ] = ()
    vmm: Annotated[str | tuple[str, ...], Meta(description="hypervisors; by default qemu")] = ()
    vcpus: Annotated[int | tuple[int, ...], Meta(description="numbers of vCPUs; by default 1")] = ()
    vcpu_model: Annotated[
        str | tuple[str, ...], Meta(description="CPU models by QEMU's names, or CPU signatures; by default all known")
    ] = ()
    guest_features: Annotated[int | tuple[int, ...], Meta(description="guest features; by default 0x1")] = ()
    direct_boot: Annotated[
        DirectBootMode,
        Meta(
            description="what the hypervisor boots itself: none; sections (kernel, initrd and command line of each "
            "profile); image (the whole image)"
        ),
    ] = DirectBootMode.NONE
    boot_secret: Annotated[
        bool, Meta(description="whether the stub may add a secret of the machine, which RTMR2 has in it")
    ] = True
    firmware: Annotated[str | tuple[str, ...], Meta(description="fwids; by default all")] = ()
    policy: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="guest policy, for ID blocks")] = None
    svsm: Annotated[str | None, Meta(description="an SVSM that the guest starts in")] = None
    variables_size: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="size of the variable store between SVSM and firmware, in bytes"),
    ] = None


class OutputTable(Table, frozen=True):
    """`[[fuki.output]]`: a file to write; the keys that its format takes stand beside these."""

    format: Annotated[str, Meta(description="uki, addon, manifest, template, or a plugin's")]
    path: Annotated[str | None, Meta(description="where to, relative to the recipe")] = None
    sign: Annotated[
        bool | Sign, Meta(description="false, or signers instead of those of [fuki.sign]; for outputs that are images")
    ] = True


class Recipe(Table, frozen=True, kw_only=True):
    """`[fuki]`: a recipe."""

    name: Annotated[str, Meta(pattern=NAME, description="name of the image")]
    image: ImageTable
    version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._+~^:-]*$", description="version of the image")] = ""
    plugins: Annotated[tuple[str, ...], Meta(description="installed plugins to load")] = ()
    variables: Annotated[dict[str, str], Meta(description="names for use in the recipe's texts")] = {}
    matrix: Annotated[dict[MatrixName, Any], _MATRIX] = {}
    environment: Annotated[
        tuple[str, ...], Meta(description="environment variables that texts may use as {{ env.NAME }}")
    ] = ()
    templates: Annotated[tuple[str, ...], Meta(description="directories with templates of your own")] = ()
    silence: Annotated[tuple[str, ...], Meta(description="ids of checks whose findings are left out")] = ()
    firmware: Annotated[tuple[dict[str, Any], ...], Meta(description="firmware images for the machines")] = ()
    profile: tuple[ProfileTable, ...] = ()
    addon: tuple[AddonTable, ...] = ()
    hand_over: Annotated[
        dict[str, Any] | None, Meta(description="how the selected firmware is started; by default it is not")
    ] = None
    expect: Annotated[tuple[ExpectTable, ...], Meta(description="what machines are to select")] = ()
    sign: Annotated[Sign, Meta(description="what signs the image and its addons")] = ()
    pcr_policy: Annotated[tuple[dict[str, Any], ...], Meta(description="policies over PCR 11 to sign")] = ()
    launch: Annotated[tuple[LaunchTable, ...], Meta(description="guests whose launch measurements to predict")] = ()
    output: Annotated[tuple[dict[str, Any], ...], Meta(description="files to write; by default the image")] = ()
