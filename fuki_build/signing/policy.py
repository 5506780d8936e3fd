"""Signed policies over PCR 11: `.pcrsig` gets its room while an image is planned, and is made when that is built.

There is one policy for each profile, each firmware and devicetree that machines can select (or none), each phase path
and bank: so one of them holds on every machine that the image supports. A section stands behind all that its policies
are about, so its content is known by the time it is written.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError, RecipeError, SigningError, raised_as
from fuki_build.formats import pcrsig, x509
from fuki_build.formats.pcrsig import PolicySignature
from fuki_build.hooks.host import blame
from fuki_build.hooks.signers import KeySigner, SigningContext
from fuki_build.image.assemble import Assembly, Late
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image
from fuki_build.image.layout import Layout, plan
from fuki_build.image.section import Section
from fuki_build.measure import pcr11
from fuki_build.measure.contents import Contents
from fuki_build.measure.policy import policy_pcr
from fuki_build.measure.predict import Case, cases
from fuki_build.measure.registers import BANKS, replay
from fuki_build.measure.subject import Subject
from fuki_build.signing.request import Signer, SignRequest, errors_at

SECTION = ".pcrsig"
_DIGEST = "sha256"
"""What systemd verifies policies with, whatever the bank."""


class PolicyRequest(Struct, frozen=True):
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
        return _rsa(self.public_key, self.request.signer)


def public_key(request: PolicyRequest, given: bytes | None, context: SigningContext) -> PolicyKey:
    """The key of a policy: `given` (DER), or what the backend knows of it. Raises `SigningError` or `RecipeError`."""
    backend = request.signer.backend()
    with errors_at(request.signer):
        if not isinstance(backend, KeySigner):
            hint = "take a backend that signs with a key, such as local"
            raise RecipeError(f"{backend.name} cannot sign policies", where="backend", hint=hint)
        found = given
        if found is None:
            with blame(request.signer.plugin, f"failed in signing backend {backend.name!r}"):
                found = backend.public_key(request.signer.options, context)
    _rsa(found, request.signer)
    return PolicyKey(request, found)


def _rsa(key: bytes, request: SignRequest) -> int:
    with errors_at(request):
        with raised_as(SigningError, "key", of=FormatError):
            decoded = x509.decode_public_key(key)
        if not isinstance(decoded, rsa.RSAPublicKey):
            raise SigningError("systemd knows only RSA keys for PCR policies", where="key")
        return -(-decoded.key_size // 8)


class PolicyRoom(Struct, frozen=True):
    """A `.pcrsig` section that is still to be made, and the keys whose policies it will have."""

    section: Section
    keys: tuple[PolicyKey, ...]


def reserve(image: Image, keys: Sequence[PolicyKey]) -> tuple[Image, tuple[PolicyRoom, ...]]:
    """The image with room for signed policies behind each profile. Raises `FukiError`."""
    layout = plan(image)
    rooms = []
    sections = list(image.sections)
    for profile in layout.profiles or (None,):
        own = tuple(key for key in keys if key.request.covers(profile))
        if not own:
            continue
        if layout.find(SECTION, profile):
            raise RecipeError(f"{SECTION} is made from fuki.pcr-policy, and given, too", where="fuki.pcr-policy")
        what = cases(layout, None, [profile])
        size = len(pcrsig.encode(pcrsig.group(_placeholders(own, what))))
        section = Section(SECTION, Blob.of_bytes(b" " * size), "recipe", profile)
        last = max(index for index, other in enumerate(sections) if profile is None or other.profile == profile)
        sections.insert(last + 1, section)
        rooms.append(PolicyRoom(section, own))
    return replace(image, sections=tuple(sections)), tuple(rooms)


def _placeholders(keys: Sequence[PolicyKey], what: Sequence[Case]) -> Iterator[tuple[str, PolicySignature]]:
    """Entries as large as those that will be made; different ones, so that none is left out."""
    number = 0
    for key in keys:
        signature = base64.b64encode(bytes(key.signature_size)).decode()
        for _case in key.request.chosen(what):
            for bank in key.request.banks:
                for _phase in key.request.phases:
                    number += 1
                    policy = number.to_bytes(32).hex()
                    yield bank, _entry(key, policy, signature)


def _entry(key: PolicyKey, policy: str, signature: str | None) -> PolicySignature:
    made = PolicySignature(
        pcrs=(pcr11.PCR,),
        pkfp=x509.rsa_fingerprint(key.public_key),
        pol=policy,
        ref=key.request.reference,
        sig=signature,
    )
    return made if signature else replace(made, tbs=made.message.hex())


def late_sections(
    layout: Layout, rooms: Sequence[PolicyRoom], signers: Callable[[SignRequest], Signer | None], made: dict[int, bytes]
) -> dict[int, Late]:
    """For `assemble`: what makes each `.pcrsig` of a layout, by the section's index.

    `signers` gives the open signer of a request, or None where its policies are to be signed elsewhere. What was made
    is kept in `made`, and used again.
    """
    index = {id(placed.section): number for number, placed in enumerate(layout.sections)}

    def maker(number: int, room: PolicyRoom) -> Late:
        def make(assembly: Assembly) -> bytes:
            if number not in made:
                entries = pcrsig.group(_entries(layout, assembly, room, signers))
                made[number] = pcrsig.encode(entries, room.section.content.size)
            return made[number]

        return make

    return {index[id(room.section)]: maker(index[id(room.section)], room) for room in rooms}


def _entries(
    layout: Layout, assembly: Assembly, room: PolicyRoom, signers: Callable[[SignRequest], Signer | None]
) -> Iterator[tuple[str, PolicySignature]]:
    signed: dict[tuple[int, bytes], str] = {}
    what = cases(layout, None, [room.section.profile])
    for key in room.keys:
        signer = signers(key.request.signer)
        for bank, policy in policies(layout, assembly, what, key.request):
            made = _entry(key, policy.hex(), None)
            if signer is not None:
                # Banks and cases can share a policy; a token is asked once for each.
                known = (id(key), made.message)
                if known not in signed:
                    signed[known] = base64.b64encode(_sign(signer, key, made.message)).decode()
                made = replace(made, tbs=None, sig=signed[known])
            yield bank, made


def policies(
    layout: Layout, assembly: Assembly, what: Sequence[Case], request: PolicyRequest
) -> Iterator[tuple[str, bytes]]:
    """Each bank and policy digest that a request asks for, in these cases."""
    contents = Contents(layout, assembly, request.banks)
    for case in request.chosen(what):
        events = list(pcr11.section_events(Subject(contents, case.profile, case.measured)))
        for bank in request.banks:
            start = replay(bank, (event.digests[bank] for event in events), bytes(BANKS[bank]))
            for phase in request.phases:
                words = (event.digests[bank] for event in pcr11.phase_events(phase, (bank,)))
                yield bank, policy_pcr({pcr11.PCR: replay(bank, words, start)}, bank)


def _sign(signer: Signer, key: PolicyKey, message: bytes) -> bytes:
    if signer.key is None:
        raise ValueError("a program signs files, not digests")
    digest = hashlib.new(_DIGEST, message).digest()
    with errors_at(key.request.signer), blame(key.request.signer.plugin, f"failed in backend {signer.name!r}"):
        signature = signer.key.sign(digest, _DIGEST)
        if not x509.verifies(key.public_key, signature, digest, _DIGEST):
            raise SigningError("the signature was not made by the key that was planned", where="key")
    return signature
