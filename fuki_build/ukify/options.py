"""The options of ukify 262.1: one table for the command line, ukify.conf, the help, and the recipe's keys."""

import argparse
import re
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.measure.registers import check_banks

VERBS = ("build", "genkey", "inspect")
ARCHITECTURES = ("ia32", "x64", "arm", "aa64", "riscv32", "riscv64", "loongarch32", "loongarch64")
SIGNING_TOOLS = ("sbsign", "pesign", "systemd-sbsign")
DIFFERENCES = ("joined-sections", "policies", "old-signature")
"""Where fuki's image differs from upstream's on purpose; each can be switched off."""
_PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
_SEPARATOR = re.compile(r"\s*,\s*|\s+")


class Kind(Enum):
    """How often an option may be given, and with what."""

    ONE = auto()
    """The last value counts."""
    MANY = auto()
    """Values add up; those of the configuration come first."""
    WORDS = auto()
    """As MANY, and one assignment in the configuration may hold several, separated by white space."""
    GROUPED = auto()
    """As MANY, and each section [PCRSignature:NAME] of the configuration is another place in the list."""
    SWITCH = auto()
    """--name or --no-name."""
    FLAG = auto()


class Option(Struct, frozen=True, kw_only=True):
    """One option.

    `place` is the key of the recipe that it becomes, `stands_for` one that it becomes where no other option does;
    `overrides`: the configuration wins.
    """

    name: str
    help: str
    metavar: str = ""
    kind: Kind = Kind.ONE
    key: str | None = None
    place: str | None = None
    stands_for: str | None = None
    short: str | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    convert: Any = str
    overrides: bool = False

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        return f"--{self.name}"

    @property
    def section(self) -> str:
        """The configuration's section, with a colon where a name follows."""
        return "PCRSignature:" if self.kind is Kind.GROUPED else "UKI"


def banks(text: str) -> tuple[str, ...]:
    """A list of PCR banks: separated by commas or white space. Raises `ArgumentTypeError`."""
    names = tuple(_SEPARATOR.split(text.strip().removesuffix(",").rstrip())) if text.strip() else ()
    try:
        return check_banks(names, "banks")
    except FukiError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def phases(text: str) -> tuple[str, ...]:
    """A list of phase paths: separated by commas or white space. Raises `ArgumentTypeError`."""
    paths = tuple(_SEPARATOR.split(text.strip().removesuffix(",").rstrip()))
    for path in paths:
        for word in path.split(":"):
            if word not in _PHASES:
                raise argparse.ArgumentTypeError(f"there is no phase {word!r}; there are {', '.join(_PHASES)}")
    return paths


OPTIONS = (
    Option(name="summary", help="show the options that hold, and end", kind=Kind.FLAG),
    Option(name="config", help="read this ukify.conf instead of the first one found", metavar="PATH", short="-c"),
    Option(name="linux", help="kernel", metavar="PATH", key="Linux", place="fuki.image.linux"),
    Option(name="os-release", help="os-release, by default the host's", metavar="TEXT|@PATH", key="OSRelease", place="fuki.image.os-release"),
    Option(name="cmdline", help="kernel command line", metavar="TEXT|@PATH", key="Cmdline", place="fuki.image.cmdline"),
    Option(name="initrd", help="initrd, after those before it", metavar="PATH", kind=Kind.WORDS, key="Initrd", place="fuki.image.initrd"),
    Option(name="efifw", help="directory with one firmware image, whose name is its id", metavar="DIR", kind=Kind.MANY, key="Firmware", place="fuki.firmware"),
    Option(name="microcode", help="CPU microcode", metavar="PATH", key="Microcode", place="fuki.image.ucode"),
    Option(name="splash", help="boot picture, a BMP file", metavar="PATH", key="Splash", place="fuki.image.splash"),
    Option(name="devicetree", help="devicetree for every machine", metavar="PATH", key="DeviceTree", place="fuki.image.dtb"),
    Option(name="devicetree-auto", help="devicetree to choose by hardware id", metavar="PATH", kind=Kind.WORDS, key="DeviceTreeAuto", place="fuki.image.dtbauto"),
    Option(name="hwids", help="directory with hardware ids in JSON, by default the host's", metavar="DIR", key="HWIDs", place="fuki.image.hwids"),
    Option(name="uname", help="kernel release, by default the kernel's", metavar="VERSION", key="Uname", place="fuki.image.uname"),
    Option(name="sbat", help="SBAT table, besides those of stub and kernel", metavar="TEXT|@PATH", kind=Kind.MANY, key="SBAT", place="fuki.image.sbat"),
    Option(name="pcrpkey", help="public key of PCR policies", metavar="PATH", key="PCRPKey", place="fuki.image.pcrpkey"),
    Option(name="section", help="another section; with inspect, one to show: NAME:text|binary[@PATH]", metavar="NAME:TEXT|@PATH", kind=Kind.MANY, place="section"),
    Option(name="profile", help="the base's .profile; without a kernel, of a profile to join", metavar="TEXT|@PATH", key="Profile", place="fuki.image.id"),
    Option(name="join-profile", help="add a profile that was built as an image of its own", metavar="PATH", kind=Kind.MANY, place="fuki.profile"),
    Option(name="sign-profile", help="sign policies for this profile only (repeatable)", metavar="ID", kind=Kind.MANY, place="fuki.pcr-policy.profiles"),
    Option(name="pcrsig", help="signed policies to put into the image of --join-pcrsig", metavar="TEXT|@PATH", key="PCRSig"),
    Option(name="join-pcrsig", help="image that --pcrsig goes into", metavar="PATH"),
    Option(name="efi-arch", help="architecture, by default the host's", metavar="ARCH", key="EFIArch", place="fuki.image.arch", choices=ARCHITECTURES),
    Option(name="stub", help="systemd-stub, by default the host's", metavar="PATH", key="Stub", place="fuki.image.stub"),
    Option(name="pcr-banks", help="banks to sign policies for", metavar="BANK…", key="PCRBanks", place="fuki.pcr-policy.banks", convert=banks),
    Option(name="signing-engine", help="OpenSSL engine of the keys: pkcs11", metavar="ENGINE", key="SigningEngine"),
    Option(name="signing-provider", help="OpenSSL provider of the keys: pkcs11", metavar="PROVIDER", key="SigningProvider"),
    Option(name="certificate-provider", help="OpenSSL provider of the certificates", metavar="PROVIDER", key="CertificateProvider"),
    Option(name="signtool", help="what signs: fuki itself in place of sbsign and systemd-sbsign, or pesign", metavar="TOOL", key="SecureBootSigningTool", place="fuki.sign.backend", choices=SIGNING_TOOLS),
    Option(name="secureboot-private-key", help="key that signs the image: a file, or a PKCS #11 URI", metavar="KEY", key="SecureBootPrivateKey", place="fuki.sign.key", stands_for="fuki.sign"),
    Option(name="secureboot-certificate", help="its certificate", metavar="PATH", key="SecureBootCertificate", place="fuki.sign.certificate"),
    Option(name="secureboot-certificate-common-name", help="with genkey, the common name", metavar="CN", key="SecureBootCertificateCommonName"),
    Option(name="secureboot-certificate-dir", help="pesign's database", metavar="DIR", key="SecureBootCertificateDir", place="fuki.sign.directory", default="/etc/pki/pesign", overrides=True),
    Option(name="secureboot-certificate-name", help="the certificate's name in pesign's database", metavar="NAME", key="SecureBootCertificateName", place="fuki.sign.nickname", stands_for="fuki.sign"),
    Option(name="secureboot-certificate-validity", help="with genkey, days of validity", metavar="DAYS", key="SecureBootCertificateValidity", default=3650, convert=int, overrides=True),
    Option(name="sign-kernel", help="sign the kernel inside the image, too", kind=Kind.SWITCH, key="SignKernel", place="fuki.sign.sign-kernel"),
    Option(name="sign-initrd-pcrs", help="sign policies that hold in the initrd only, too", kind=Kind.SWITCH, key="SignInitrdPCRs", place="fuki.pcr-policy"),
    Option(name="pcr-private-key", help="key that signs policies: a file, or a PKCS #11 URI", metavar="KEY", kind=Kind.GROUPED, key="PCRPrivateKey", place="fuki.pcr-policy.key"),
    Option(name="pcr-public-key", help="its public key", metavar="PATH", kind=Kind.GROUPED, key="PCRPublicKey", place="fuki.pcr-policy.public-key", stands_for="fuki.image.pcrpkey"),
    Option(name="pcr-certificate", help="its certificate", metavar="PATH", kind=Kind.GROUPED, key="PCRCertificate", place="fuki.pcr-policy.certificate", stands_for="fuki.image.pcrpkey"),
    Option(name="phases", help="phase paths that it signs for", metavar="PHASE-PATH…", kind=Kind.GROUPED, key="Phases", place="fuki.pcr-policy.phases", convert=phases),
    Option(name="policyref", help="policy reference that it signs for", metavar="TEXT", kind=Kind.GROUPED, key="PolicyRef", place="fuki.pcr-policy.reference"),
    Option(name="tools", help="without effect: fuki needs none of ukify's tools", metavar="DIR", kind=Kind.MANY),
    Option(name="output", help="where the image goes", metavar="PATH", short="-o", place="--output"),
    Option(name="measure", help="print PCR 11", kind=Kind.SWITCH),
    Option(name="policy-digest", help="print the policies that are to be signed elsewhere", kind=Kind.SWITCH),
    Option(name="json", help="form of what is printed", metavar="FORM", choices=("pretty", "short", "off"), default="off"),
    Option(name="all", help="with inspect, show all sections", kind=Kind.FLAG),
    Option(name="upstream", help="be as upstream here (fuki's own option; repeatable)", metavar="DIFFERENCE", kind=Kind.MANY, choices=DIFFERENCES),
)  # fmt: skip
BY_ATTRIBUTE = {option.attribute: option for option in OPTIONS}
CONFIGURED = {(option.section, option.key): option for option in OPTIONS if option.key}
