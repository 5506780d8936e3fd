"""Signed policies over PCR 11: `.pcrsig` gets its room while an image is planned, and is made when that is built.

There is one policy for each profile, each firmware and devicetree that machines can select (or none), each phase path
and bank: so one of them holds on every machine that the image supports. A section stands behind all that its policies
are about, so its content is known by the time it is written.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError, RecipeError, SigningError, raised_as
from fuki_build.formats.asn1 import x509
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature
from fuki_build.hooks.signers import KeySigner, SigningContext
from fuki_build.image.assembly import Assembly, DeferredContent
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image
from fuki_build.image.layout import Layout
from fuki_build.image.plan import plan
from fuki_build.image.section import Section
from fuki_build.measure import pcr11
from fuki_build.measure.predict import Case, cases
from fuki_build.measure.registers import BANKS, replay
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.tpm_policy import policy_pcr
from fuki_build.signing.request import Signer, Signers, SignRequest, errors_at

_DIGEST = "sha256"
"""What systemd verifies policies with, whatever the bank."""


class PolicyRequest(Struct, frozen=True, kw_only=True):
    """One key's policies: for which phase paths (in words) and banks, and in which profiles (None: all).

    Without `all_selections` they are what ukify signs: for each devicetree, but as if no firmware matched.
    """

    signer: SignRequest
    phases: tuple[tuple[str, ...], ...]
    banks: tuple[str, ...]
    profiles: tuple[int, ...] | None = None
    reference: str | None = None
    all_selections: bool = True

    def covers(self, profile: int | None) -> bool:
        return self.profiles is None or profile in self.profiles

    def chosen(self, possible: Sequence[Case]) -> Sequence[Case]:
        """The cases to sign for."""
        if self.all_selections:
            return possible
        plain = [case for case in possible if case.firmware is None]
        return [case for case in plain if case.devicetree is not None] or plain


class PolicyKey(Struct, frozen=True):
    """A request with its public key, a SubjectPublicKeyInfo in DER."""

    request: PolicyRequest
    public_key: bytes

    @property
    def signature_size(self) -> int:
        """Bytes of a signature by this key."""
        return x509.largest_signature(self.public_key)


def public_key(request: PolicyRequest, given: bytes | None, context: SigningContext) -> PolicyKey:
    """The key of a policy: `given` (DER), or what the backend knows of it. Raises `SigningError` or `RecipeError`."""
    backend = request.signer.backend.thing
    with errors_at(request.signer):
        if not issubclass(backend, KeySigner):
            hint = "take a backend that signs with a key, such as local"
            raise RecipeError(f"{backend.name} cannot sign policies", where="backend", hint=hint)
        key = given
        if key is None:
            with request.signer.backend.running():
                key = backend().public_key(request.signer.options, context)

    _refuse_unknown(key, request.signer)
    return PolicyKey(request, key)


def _refuse_unknown(key: bytes, request: SignRequest) -> None:
    """Raise `SigningError` for a key that systemd cannot verify with."""
    with errors_at(request):
        with raised_as(SigningError, "key", of=FormatError):
            known = x509.is_rsa(key)
        if not known:
            raise SigningError("systemd knows only RSA keys for PCR policies", where="key")


class PolicyReservation(Struct, frozen=True):
    """The `.pcrsig` section of a profile that is still to be made, and the keys whose policies it will have.

    `size` is the section's, in bytes.
    """

    profile: int | None
    size: int
    keys: tuple[PolicyKey, ...]


def reserve(
    image: Image, keys: Sequence[PolicyKey], *, with_messages: bool = False
) -> tuple[Image, tuple[PolicyReservation, ...]]:
    """The image with a reservation for signed policies behind each profile. Raises `FukiError`.

    `with_messages` leaves room for what is signed, too: ukify keeps it beside signatures that are joined.
    """
    layout = plan(image)
    reservations = []
    sections = list(image.sections)
    for profile in layout.profiles or (None,):
        own = tuple(key for key in keys if key.request.covers(profile))
        if not own:
            continue
        if layout.find(pcrsig.SECTION, profile):
            raise RecipeError(f"{pcrsig.SECTION} is made from fuki.pcr-policy, and given, too", where="fuki.pcr-policy")

        possible = cases(layout, None, [profile])
        size = len(pcrsig.encode(pcrsig.group(_placeholders(own, possible, with_messages=with_messages))))
        section = Section(name=pcrsig.SECTION, content=Blob.of_bytes(b" " * size), source="recipe", profile=profile)

        last = max(index for index, other in enumerate(sections) if profile is None or other.profile == profile)
        sections.insert(last + 1, section)
        reservations.append(PolicyReservation(profile, size, own))
    return replace(image, sections=tuple(sections)), tuple(reservations)


def _placeholders(
    keys: Sequence[PolicyKey], possible: Sequence[Case], *, with_messages: bool
) -> Iterator[tuple[str, PolicySignature]]:
    """Entries as large as those that will be made; different ones, so that none is left out."""
    number = 0
    for key in keys:
        signature = base64.b64encode(bytes(key.signature_size)).decode()
        for _case in key.request.chosen(possible):
            for bank in key.request.banks:
                for _phase in key.request.phases:
                    number += 1
                    policy = number.to_bytes(32).hex()
                    entry = _entry(key, policy, signature)
                    yield bank, replace(entry, tbs=entry.message.hex()) if with_messages else entry


def _entry(key: PolicyKey, policy: str, signature: str | None) -> PolicySignature:
    entry = PolicySignature(
        pcrs=(pcr11.PCR,),
        pkfp=x509.rsa_fingerprint(key.public_key),
        pol=policy,
        ref=key.request.reference,
        sig=signature,
    )
    return entry if signature else replace(entry, tbs=entry.message.hex())


def deferred_sections(
    layout: Layout,
    reservations: Sequence[PolicyReservation],
    signers: Signers | None,
    written: dict[int, bytes],
) -> dict[int, DeferredContent]:
    """For `assemble`: what makes each `.pcrsig` of a layout, by the section's index.

    `signers` are open; None where the policies are to be signed elsewhere. Each section is kept in `written`, by its
    index, and written the same again.
    """

    def maker(index: int, reservation: PolicyReservation) -> DeferredContent:
        def make(assembly: Assembly) -> bytes:
            if index not in written:
                entries = pcrsig.group(_entries(layout, assembly, reservation, signers))
                written[index] = pcrsig.encode(entries, reservation.size)
            return written[index]

        return make

    makers = {}
    for reservation in reservations:
        (section,) = layout.find(pcrsig.SECTION, reservation.profile)
        makers[section.index] = maker(section.index, reservation)
    return makers


def _entries(
    layout: Layout, assembly: Assembly, reservation: PolicyReservation, signers: Signers | None
) -> Iterator[tuple[str, PolicySignature]]:
    possible = cases(layout, None, [reservation.profile])

    for key in reservation.keys:
        signer = signers.of(key.request.signer) if signers else None
        signatures: dict[bytes, str] = {}

        for bank, policy in policies(layout, assembly, possible, key.request):
            entry = _entry(key, policy.hex(), None)
            if signer is not None:
                # Banks and cases can share a policy; a token is asked once for each.
                if entry.message not in signatures:
                    signatures[entry.message] = base64.b64encode(_sign(signer, key, entry.message)).decode()
                entry = replace(entry, tbs=None, sig=signatures[entry.message])
            yield bank, entry


def policies(
    layout: Layout, assembly: Assembly, possible: Sequence[Case], request: PolicyRequest
) -> Iterator[tuple[str, bytes]]:
    """Each bank and policy digest that a request asks for, in these cases."""
    contents = SectionDigests(layout, assembly, request.banks)
    for case in request.chosen(possible):
        events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
        for bank in request.banks:
            start = replay(bank, (event.digests[bank] for event in events), bytes(BANKS[bank]))
            for phase in request.phases:
                words = pcr11.phase_digests(phase, bank)
                yield bank, policy_pcr({pcr11.PCR: replay(bank, words, start)}, bank)


def _sign(signer: Signer, key: PolicyKey, message: bytes) -> bytes:
    if signer.key is None:
        raise ValueError("a program signs files, not digests")
    digest = hashlib.new(_DIGEST, message).digest()
    with errors_at(key.request.signer), key.request.signer.backend.running():
        signature = signer.key.sign(digest, _DIGEST)
        if not x509.verifies(key.public_key, signature, digest, _DIGEST):
            raise SigningError("the signature was not made by the key that was planned", where="key")
    return signature
