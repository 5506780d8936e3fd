"""Keys that are nowhere but in memory, and a plugin with a backend that reads keys from files."""

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from fuki_build.hooks import SigningKey

_HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


class MemoryKey(SigningKey):
    """An ECDSA key that is nowhere but here."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self.private = private
        self.certificates = []
        self.public_key = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        return self.private.sign(digest, ec.ECDSA(Prehashed(_HASHES[algorithm]())))


def memory_key(curve: type[ec.EllipticCurve] = ec.SECP384R1) -> MemoryKey:
    return MemoryKey(ec.generate_private_key(curve()))


FILE_KEY_PLUGIN = '''
from cryptography.hazmat.primitives import serialization
from fuki_build.hooks import FileSigner, KeySigner, Options, hookimpl
from fuki_build.testing.memory_key import MemoryKey


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
"""A plugin for `install_plugin`: a backend with keys, and one that signs files."""
