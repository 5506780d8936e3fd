from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import signed_data, x509
from fuki_build.signing.authenticode.chain import Chains

from .helper import tail


def seeds() -> Iterator[bytes]:
    yield tail("kernel-x64", 1464)
    yield tail("shim", 9000)[-8992:]
    yield signed_data.indirect_data(bytes(32), "sha256")


def run(data: bytes) -> None:
    with suppress(FormatError):
        signature = signed_data.decode(data)
        for signer in signature.signers:
            certificate = signature.certificate_of(signer)
            if certificate is not None:
                x509.facts(certificate)
                Chains(certificate, signature.certificates).lead_to(certificate)
                x509.to_be_signed_hash(certificate, "sha256")
                x509.verifies(x509.public_key_of(certificate), signer.signature, bytes(32), "sha256")
