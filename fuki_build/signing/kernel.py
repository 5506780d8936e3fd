"""Sign the kernel inside an image: its signature gets room while the image is planned, and is made when it is built."""

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from fuki_build.errors import FormatError, RecipeError, SigningError, raised_as
from fuki_build.formats import signed_data, x509
from fuki_build.formats.authenticode import HEADER_SIZE, encode_certificate
from fuki_build.hooks.host import blame
from fuki_build.hooks.signers import KeySigner, SigningContext
from fuki_build.image.assemble import Assembly, assemble, read_pieces
from fuki_build.image.blob import Blob
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import kept_table, signed_content
from fuki_build.signing.authenticode import sign, signing_time, to_sign
from fuki_build.signing.request import Signer, SignRequest, errors_at


class KernelRoom(Struct, frozen=True):
    """A kernel that is to be signed: what was read of it, and what stands for it until then.

    `sha256` is the file's as it is; `sizes` are those of the certificate table's entries, in bytes, in the order of
    `requests`; `content` is the kernel with zeros for them. `kept` are the entries that it has already.
    """

    layout: Layout
    assembly: Assembly
    sha256: str
    requests: tuple[SignRequest, ...]
    sizes: tuple[int, ...]
    content: Blob
    kept: bytes = b""


def reserve(layout: Layout, requests: Sequence[SignRequest], context: SigningContext) -> KernelRoom:
    """Read a kernel, and find out how large its signatures will be. Raises `FukiError`."""
    assembly = assemble(layout, algorithms={request.digest for request in requests})
    digest = hashlib.sha256()
    for piece in read_pieces(layout.file or Blob()):
        digest.update(piece)
    sizes = tuple(_entry_size(request, assembly, context) for request in requests)
    kept = kept_table(layout, replace=False)
    content = signed_content(layout, kept + bytes(sum(sizes)))
    return KernelRoom(layout, assembly, digest.hexdigest(), tuple(requests), sizes, content, kept)


def _entry_size(request: SignRequest, assembly: Assembly, context: SigningContext) -> int:
    backend = request.backend()
    with errors_at(request):
        if not isinstance(backend, KeySigner):
            hint = "take a backend that signs with a key, such as local"
            raise RecipeError(f"{backend.name} cannot sign kernels", where="sign-kernel", hint=hint)
        if request.timestamp is not None:
            hint = "its size must be known before it is made; sign the kernel beforehand with 'fuki sign'"
            raise RecipeError("a kernel's signature cannot have a timestamp", where="sign-kernel", hint=hint)
        with blame(request.plugin, f"failed in signing backend {backend.name!r}"):
            certificates = backend.certificates(request.options, context)
        if not certificates:
            raise SigningError("there is no certificate for the key", where="certificate")
        content, attributes = to_sign(_digest(request, assembly), request.digest, signing_time(request))
        with raised_as(SigningError, "certificate", of=FormatError):
            size = _largest_signature(certificates[0])
            is_rsa = isinstance(x509.decode_public_key(x509.public_key_of(certificates[0])), rsa.RSAPublicKey)
            signature = signed_data.encode(content, attributes, request.digest, bytes(size), certificates, rsa=is_rsa)
    return len(encode_certificate(signature))


def _digest(request: SignRequest, assembly: Assembly) -> bytes:
    return bytes.fromhex(assembly.image_digests[request.digest])


def _largest_signature(certificate: bytes) -> int:
    """Bytes of the longest signature of a certificate's key: RSA's all have one length, ECDSA's in DER vary."""
    key = x509.decode_public_key(x509.public_key_of(certificate))
    if isinstance(key, rsa.RSAPublicKey):
        return -(-key.key_size // 8)
    # Two integers below the curve's order, each with a sign byte at worst, each with tag and length, in a sequence.
    integers = 2 * (2 + 1 + -(-key.curve.key_size // 8))
    return integers + (2 if integers < 0x80 else 3)


def fill(room: KernelRoom, signers: Sequence[Signer]) -> Blob:
    """The signed kernel; as large as what stood for it. Raises `SigningError`."""
    table = b"".join(
        _entry(next(s for s in signers if s.request is request), room.assembly, size)
        for request, size in zip(room.requests, room.sizes, strict=True)
    )
    return signed_content(room.layout, room.kept + table)


def _entry(signer: Signer, assembly: Assembly, size: int) -> bytes:
    if signer.key is None:
        raise ValueError("a program signs files, not digests")
    signature = sign(signer.key, signer.request, _digest(signer.request, assembly))
    # What is behind the outer length of the DER value is padding to all who read it.
    entry = encode_certificate(signature.ljust(size - HEADER_SIZE, b"\0"))
    if len(entry) != size:
        with errors_at(signer.request):
            raise SigningError("the certificates have changed since the image was planned", where="certificate")
    return entry
