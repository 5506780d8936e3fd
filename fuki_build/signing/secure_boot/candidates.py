"""Configurations of Secure Boot that a machine may have had: what is known of it, other states, other authorities.

Without keys enrolled firmware is in setup mode, and its variables are empty; that is what edk2 begins with.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import product

from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.uefi import efi_signature_list, shim
from fuki_build.formats.uefi.authenticated_variable import IMAGE_SECURITY_VENDOR
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.measure.boot import Boot
from fuki_build.measure.pcr7 import PolicyCandidate, SecureBootPolicy, SecureBootState
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.signing.secure_boot.boot import with_authorities

_OFF = {SecureBootState.OFF: "Secure Boot off", SecureBootState.ABSENT: "firmware without Secure Boot"}
_MAX_SECTION = 1024 * 1024
"""Largest section of a shim that is looked at; its own have 400 KiB at most."""
_MAX_AUTHORITIES = 16
"""Limit of certificates in db that are tried as what vouches; Microsoft's db has four."""


def policy_candidates(boot: Boot, contents: SectionDigests) -> tuple[PolicyCandidate, ...]:
    """All that may be measured into PCR 7, the known configuration first. Raises `FormatError` for a damaged db."""
    given = () if boot.policy is None else tuple(_of_policy(boot, boot.policy, contents))
    empty = tuple(PolicyCandidate(f"{words}, no keys", SecureBootPolicy(state, {})) for state, words in _OFF.items())
    candidates = (*given, *empty)
    return (*candidates, *(behind for one in candidates for behind in _behind_shim(one, boot)))


def _of_policy(boot: Boot, policy: SecureBootPolicy, contents: SectionDigests) -> Iterator[PolicyCandidate]:
    """The variables that are known, with Secure Boot in the state that is known, and in the others."""
    for state in sorted(SecureBootState, key=lambda state: state is not policy.state):
        if state is not SecureBootState.ON:
            yield PolicyCandidate(_OFF[state], replace(policy, state=state))
            continue

        started = with_authorities(replace(boot, policy=replace(policy, state=state)), contents)
        if started.policy is not None:
            yield PolicyCandidate("Secure Boot on", started.policy)
        on = replace(policy, state=state, authorities={})
        yield PolicyCandidate("Secure Boot on, nothing that db vouches for started", on)
        for subject, authority in _authorities(policy.variables.get("db", b"")):
            words = f"Secure Boot on, {subject} of db vouches for all that starts"
            yield PolicyCandidate(words, replace(on, authorities={"the image": authority}))


def _behind_shim(candidate: PolicyCandidate, boot: Boot) -> Iterator[PolicyCandidate]:
    """The same where a shim that is named started, with each of its levels, and what it may verify programs with."""
    contents = [
        section.content.read_small(_MAX_SECTION, "a section")
        for loader in boot.loaders
        for section in loader.layout.plain_sections
        if section.content.size <= _MAX_SECTION
    ]
    levels = dict.fromkeys(level for content in contents for level in shim.levels(content))
    is_on = candidate.policy.state is SecureBootState.ON
    if shim.ORIGINAL_LEVEL not in levels or (is_on and not candidate.policy.authorities):
        return

    verifying: list[tuple[str, tuple[MeasuredVariable, ...]]] = [("", ())]
    if is_on:
        vendors = [vendor for content in contents if (vendor := shim.vendor_certificate(content))]
        verifying += [
            ("its vendor's certificate", (MeasuredVariable(shim.VENDOR, "Shim", vendor),)) for vendor in vendors
        ]
        verifying += [
            (f"{subject} of db", (MeasuredVariable(IMAGE_SECURITY_VENDOR, "db", authority),))
            for subject, authority in _authorities(candidate.policy.variables.get("db", b""))
        ]
    for level, (by_what, variables) in product(levels, verifying):
        name = level.partition(b"\n")[0].decode()
        words = f"{candidate.words}, shim at level {name}" + (f", which vouches by {by_what}" if by_what else "")
        measured = (MeasuredVariable(shim.VENDOR, "SbatLevel", level), *variables)
        yield PolicyCandidate(words, candidate.policy, measured)


def _authorities(db: bytes) -> Iterator[tuple[str, bytes]]:
    """The certificates of db as firmware measures them (owner and certificate), by subject."""
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    entries = [
        entry
        for signatures in efi_signature_list.decode(db)
        if signatures.type == SignatureType.X509.guid
        for entry in signatures.signatures
    ]
    for entry in entries[:_MAX_AUTHORITIES]:
        # What cannot be read vouches for nothing.
        with suppress(FormatError):
            yield x509.subject(entry.data), entry.owner.bytes_le + entry.data
