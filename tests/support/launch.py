"""sev-snp-measure as an oracle, and keys in memory."""

from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from sevsnpmeasure import guest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS
from sevsnpmeasure.vmm_types import VMMType

from fuki_build.hooks import LaunchDigest, SigningKey

MODES = {"sev": SevMode.SEV, "sev-es": SevMode.SEV_ES, "sev-snp": SevMode.SEV_SNP}
VMMS = {"qemu": VMMType.QEMU, "ec2": VMMType.ec2, "gce": VMMType.gce}


def peer_digest(  # noqa: PLR0913, PLR0917 - all that a digest depends on
    technology: str,
    firmware: Path,
    vmm: str,
    vcpus: int,
    cpu_model: str | None,
    guest_features: int,
    kernel: str = "",
    initrd: str = "",
    cmdline: str = "",
) -> str:
    """What sev-snp-measure says, in hex."""
    signature = CPU_SIGS[cpu_model] if cpu_model else 0
    measured = guest.calc_launch_digest(
        MODES[technology],
        vcpus,
        signature,
        str(firmware),
        kernel,
        initrd,
        cmdline,
        guest_features,
        vmm_type=VMMS[vmm],
    )
    return measured.hex()


def peer_digest_of(digest: LaunchDigest, firmware: Path, *boot: str) -> str:
    """What sev-snp-measure says of the launch that a digest is of."""
    return peer_digest(
        digest.technology,
        firmware,
        digest.vmm or "qemu",
        digest.vcpus or 1,
        digest.cpu_model,
        digest.guest_features or 1,
        *boot,
    )


class MemoryKey(SigningKey):
    """An ECDSA key that is nowhere but here."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private
        self.certificates = []
        self.public_key = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        found = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}[algorithm]()
        return self.private.sign(digest, ec.ECDSA(Prehashed(found)))


def memory_key(curve: type[ec.EllipticCurve] = ec.SECP384R1) -> MemoryKey:
    return MemoryKey(ec.generate_private_key(curve()))


FILE_KEY_PLUGIN = '''
from cryptography.hazmat.primitives import serialization
from fuki_build.hooks import FileSigner, KeySigner, Options, hookimpl
from tests.support.launch import MemoryKey


class PemOptions(Options, frozen=True):
    key: str


class PemSigner(KeySigner):
    """A key in a PEM file, without a passphrase."""

    name = "pem"
    Options = PemOptions

    def open(self, options, context):
        return MemoryKey(serialization.load_pem_private_key(context.read(options.key, "key", "key"), None))


class Program(FileSigner):
    """Signs files only."""

    name = "program"

    def sign_file(self, path, options, context):
        raise AssertionError


@hookimpl
def fuki_signers():
    return [PemSigner, Program]
'''
"""A plugin for tests/support/plugins.py: a backend with keys, and one that signs files."""


def write_key(path: Path, key: MemoryKey) -> None:
    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
