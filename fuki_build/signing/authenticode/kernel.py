"""Sign the kernel inside an image: its signature gets room while the image is planned, and is made when it is built."""

from collections.abc import Sequence

from msgspec import Struct

from fuki_build.errors import RecipeError, SigningError
from fuki_build.formats.pe.authenticode import HEADER_SIZE, encode_certificate
from fuki_build.hooks.signers import KeySigner, SigningContext
from fuki_build.image.assemble import assemble, file_digest
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import DigestNeeds, unsigned_request
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import kept_table, signed_content
from fuki_build.signing.authenticode.sign import largest_entry, sign
from fuki_build.signing.request import Signer, Signers, SignRequest, errors_at


class KernelReservation(Struct, frozen=True, kw_only=True):
    """A kernel that is to be signed: what was read of it, and what stands for it until then.

    `profile` is that of its section; `sha256` is the file's as it is; `sizes` are those of the certificate table's
    entries, in bytes, in the order of `requests`; `content` is the kernel with zeros for them. `kept` are the entries
    that it has already.
    """

    profile: int | None
    layout: Layout
    assembly: Assembly
    sha256: str
    requests: tuple[SignRequest, ...]
    sizes: tuple[int, ...]
    content: Blob
    kept: bytes = b""


def reserve(
    layout: Layout, profile: int | None, requests: Sequence[SignRequest], context: SigningContext
) -> KernelReservation:
    """Read the kernel of a profile, or of the base, and find out how large its signatures will be.

    Raises `FukiError`.
    """
    needs = DigestNeeds(to_sign=frozenset(request.digest for request in requests))
    whole = unsigned_request(layout)
    assembly = assemble(layout, digests=needs, also=[whole])
    sha256 = file_digest(layout, assembly.results[whole])
    sizes = tuple(_entry_size(request, assembly, context) for request in requests)

    kept = kept_table(layout, replace=False)
    content = signed_content(layout, kept + bytes(sum(sizes)))

    return KernelReservation(
        profile=profile,
        layout=layout,
        assembly=assembly,
        sha256=sha256,
        requests=tuple(requests),
        sizes=sizes,
        content=content,
        kept=kept,
    )


def _entry_size(request: SignRequest, assembly: Assembly, context: SigningContext) -> int:
    backend = request.backend.thing
    with errors_at(request):
        if not issubclass(backend, KeySigner):
            hint = "take a backend that signs with a key, such as local"
            raise RecipeError(f"{backend.name} cannot sign kernels", where="sign-kernel", hint=hint)

        if request.timestamp is not None:
            hint = "its size must be known before it is made; sign the kernel beforehand with 'fuki sign'"
            raise RecipeError("a kernel's signature cannot have a timestamp", where="sign-kernel", hint=hint)

        with request.backend.running():
            certificates = backend().certificates(request.options, context)
        if not certificates:
            raise SigningError("there is no certificate for the key", where="certificate")

    return largest_entry(request, certificates, _digest(request, assembly))


def _digest(request: SignRequest, assembly: Assembly) -> bytes:
    return bytes.fromhex(assembly.digest_to_sign(request.digest))


def fill(reservation: KernelReservation, signers: Signers) -> Blob:
    """The signed kernel; as large as what stood for it. Raises `SigningError`."""
    table = b"".join(
        _entry(signers.of(request), reservation.assembly, size)
        for request, size in zip(reservation.requests, reservation.sizes, strict=True)
    )
    return signed_content(reservation.layout, reservation.kept + table)


def _entry(signer: Signer, assembly: Assembly, size: int) -> bytes:
    if signer.key is None:
        raise ValueError("a program signs files, not digests")
    with signer.request.backend.running():
        signature = sign(signer.key, signer.request, _digest(signer.request, assembly))

    # What is behind the outer length of the DER value is padding to all who read it.
    entry = encode_certificate(signature.ljust(size - HEADER_SIZE, b"\0"))
    if len(entry) != size:
        with errors_at(signer.request):
            raise SigningError("the certificates have changed since the image was planned", where="certificate")
    return entry
