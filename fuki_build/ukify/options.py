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


class Option(Struct, frozen=True):
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
    Option("summary", "show the options that hold, and end", kind=Kind.FLAG),
    Option("config", "read this ukify.conf instead of the first one found", "PATH", short="-c"),
    Option("linux", "kernel", "PATH", key="Linux", place="fuki.image.linux"),
    Option("os-release", "os-release, by default the host's", "TEXT|@PATH", key="OSRelease", place="fuki.image.os-release"),
    Option("cmdline", "kernel command line", "TEXT|@PATH", key="Cmdline", place="fuki.image.cmdline"),
    Option("initrd", "initrd, after those before it", "PATH", Kind.WORDS, key="Initrd", place="fuki.image.initrd"),
    Option("efifw", "directory with one firmware image, whose name is its id", "DIR", Kind.MANY, key="Firmware", place="fuki.firmware"),
    Option("microcode", "CPU microcode", "PATH", key="Microcode", place="fuki.image.ucode"),
    Option("splash", "boot picture, a BMP file", "PATH", key="Splash", place="fuki.image.splash"),
    Option("devicetree", "devicetree for every machine", "PATH", key="DeviceTree", place="fuki.image.dtb"),
    Option("devicetree-auto", "devicetree to choose by hardware id", "PATH", Kind.WORDS, key="DeviceTreeAuto", place="fuki.image.dtbauto"),
    Option("hwids", "directory with hardware ids in JSON, by default the host's", "DIR", key="HWIDs", place="fuki.image.hwids"),
    Option("uname", "kernel release, by default the kernel's", "VERSION", key="Uname", place="fuki.image.uname"),
    Option("sbat", "SBAT table, besides those of stub and kernel", "TEXT|@PATH", Kind.MANY, key="SBAT", place="fuki.image.sbat"),
    Option("pcrpkey", "public key of PCR policies", "PATH", key="PCRPKey", place="fuki.image.pcrpkey"),
    Option("section", "another section; with inspect, one to show: NAME:text|binary[@PATH]", "NAME:TEXT|@PATH", Kind.MANY, place="section"),
    Option("profile", "the base's .profile; without a kernel, of a profile to join", "TEXT|@PATH", key="Profile", place="fuki.image.id"),
    Option("join-profile", "add a profile that was built as an image of its own", "PATH", Kind.MANY, place="fuki.profile"),
    Option("sign-profile", "sign policies for this profile only (repeatable)", "ID", Kind.MANY, place="fuki.pcr-policy.profiles"),
    Option("pcrsig", "signed policies to put into the image of --join-pcrsig", "TEXT|@PATH", key="PCRSig"),
    Option("join-pcrsig", "image that --pcrsig goes into", "PATH"),
    Option("efi-arch", "architecture, by default the host's", "ARCH", key="EFIArch", place="fuki.image.arch", choices=ARCHITECTURES),
    Option("stub", "systemd-stub, by default the host's", "PATH", key="Stub", place="fuki.image.stub"),
    Option("pcr-banks", "banks to sign policies for", "BANK…", key="PCRBanks", place="fuki.pcr-policy.banks", convert=banks),
    Option("signing-engine", "OpenSSL engine of the keys: pkcs11", "ENGINE", key="SigningEngine"),
    Option("signing-provider", "OpenSSL provider of the keys: pkcs11", "PROVIDER", key="SigningProvider"),
    Option("certificate-provider", "OpenSSL provider of the certificates", "PROVIDER", key="CertificateProvider"),
    Option("signtool", "what signs: fuki itself in place of sbsign and systemd-sbsign, or pesign", "TOOL", key="SecureBootSigningTool", place="fuki.sign.backend", choices=SIGNING_TOOLS),
    Option("secureboot-private-key", "key that signs the image: a file, or a PKCS #11 URI", "KEY", key="SecureBootPrivateKey", place="fuki.sign.key", stands_for="fuki.sign"),
    Option("secureboot-certificate", "its certificate", "PATH", key="SecureBootCertificate", place="fuki.sign.certificate"),
    Option("secureboot-certificate-common-name", "with genkey, the common name", "CN", key="SecureBootCertificateCommonName"),
    Option("secureboot-certificate-dir", "pesign's database", "DIR", key="SecureBootCertificateDir", place="fuki.sign.directory", default="/etc/pki/pesign", overrides=True),
    Option("secureboot-certificate-name", "the certificate's name in pesign's database", "NAME", key="SecureBootCertificateName", place="fuki.sign.nickname", stands_for="fuki.sign"),
    Option("secureboot-certificate-validity", "with genkey, days of validity", "DAYS", key="SecureBootCertificateValidity", default=3650, convert=int, overrides=True),
    Option("sign-kernel", "sign the kernel inside the image, too", kind=Kind.SWITCH, key="SignKernel", place="fuki.sign.sign-kernel"),
    Option("sign-initrd-pcrs", "sign policies that hold in the initrd only, too", kind=Kind.SWITCH, key="SignInitrdPCRs", place="fuki.pcr-policy"),
    Option("pcr-private-key", "key that signs policies: a file, or a PKCS #11 URI", "KEY", Kind.GROUPED, key="PCRPrivateKey", place="fuki.pcr-policy.key"),
    Option("pcr-public-key", "its public key", "PATH", Kind.GROUPED, key="PCRPublicKey", place="fuki.pcr-policy.public-key", stands_for="fuki.image.pcrpkey"),
    Option("pcr-certificate", "its certificate", "PATH", Kind.GROUPED, key="PCRCertificate", place="fuki.pcr-policy.certificate", stands_for="fuki.image.pcrpkey"),
    Option("phases", "phase paths that it signs for", "PHASE-PATH…", Kind.GROUPED, key="Phases", place="fuki.pcr-policy.phases", convert=phases),
    Option("policyref", "policy reference that it signs for", "TEXT", Kind.GROUPED, key="PolicyRef", place="fuki.pcr-policy.reference"),
    Option("tools", "without effect: fuki needs none of ukify's tools", "DIR", Kind.MANY),
    Option("output", "where the image goes", "PATH", short="-o", place="--output"),
    Option("measure", "print PCR 11", kind=Kind.SWITCH),
    Option("policy-digest", "print the policies that are to be signed elsewhere", kind=Kind.SWITCH),
    Option("json", "form of what is printed", "FORM", choices=("pretty", "short", "off"), default="off"),
    Option("all", "with inspect, show all sections", kind=Kind.FLAG),
    Option("upstream", "be as upstream here (fuki's own option; repeatable)", "DIFFERENCE", Kind.MANY, choices=DIFFERENCES),
)  # fmt: skip
BY_ATTRIBUTE = {option.attribute: option for option in OPTIONS}
CONFIGURED = {(option.section, option.key): option for option in OPTIONS if option.key}
