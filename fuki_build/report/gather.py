"""Gather the facts of a report: everything that takes the image's bytes is fed from one read of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from fuki_build import __version__
from fuki_build.checks.run import check
from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.asn1 import x509
from fuki_build.formats.hashes import Hash
from fuki_build.formats.uki.sbat import SbatRow
from fuki_build.hooks.host import PluginHost
from fuki_build.image.assemble import Progress, assemble, file_digest
from fuki_build.image.assembly import Assembly
from fuki_build.image.describe import LayoutView, SectionView, describe
from fuki_build.image.digest import Request
from fuki_build.image.digest_plan import DESCRIBED_DIGESTS, measured_in, unsigned_request
from fuki_build.image.firmware import FirmwareImage, slices
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.launch.handed_over import second_launches
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import labelled_cases, predict
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import boot_view
from fuki_build.report.facts import (
    FirmwareFacts,
    ImageDigests,
    KernelFacts,
    LaunchFacts,
    MatchFacts,
    PlatformFacts,
    PredictionFacts,
    Report,
    SliceFacts,
    TrustFacts,
)
from fuki_build.report.machines import Group, match_machines, received
from fuki_build.report.policies import policy_facts
from fuki_build.report.registers import profile_facts
from fuki_build.signing.authenticode.trust import Trust
from fuki_build.signing.authenticode.verify import Verification
from fuki_build.signing.key_requirements import source_date
from fuki_build.signing.pcr_policy.coverage import Phase
from fuki_build.signing.pcr_policy.report import find_policies, predict_everything


class ReportOptions(Struct, frozen=True, kw_only=True):
    """What an image is to be held against.

    `level` are the rows of an SBAT revocation level; `banks` and `phases` are those to predict, and `boot` tells from
    the image's contents how it is started.
    """

    groups: Sequence[Group]
    trust: Trust
    level: Sequence[SbatRow]
    banks: tuple[str, ...]
    phases: Sequence[Phase]
    boot: Callable[[SectionDigests], Boot]


def gather(layout: Layout, host: PluginHost, options: ReportOptions, progress: Progress | None = None) -> Report:
    """Everything about an image that was read. Raises `FukiError` where it has no digest, or a check fails."""
    trust = options.trust
    verification = Verification(layout, trust, options.level)
    policies = find_policies(layout, trust.db.certificates if trust.db else ())

    firmware = list(_firmware_requests(layout))
    whole = unsigned_request(layout)
    # All digests come from one read of the image, which may have gigabytes.
    assembly = assemble(
        layout,
        progress=progress,
        digests=DESCRIBED_DIGESTS | measured_in((*options.banks, *policies.banks)),
        also=[whole, *verification.requests, *(request for _, request in firmware)],
    )

    machines = [machine for group in options.groups for machine in group.machines]
    view = describe(layout, assembly, machines)
    matches = match_machines(layout, options.groups)
    signature, kernel_signatures = verification.judge(assembly.results)

    date = source_date()
    return Report(
        generator=f"fuki {__version__}",
        date=f"{date:%Y-%m-%d}" if date else None,
        image=view,
        digests=ImageDigests(file_digest(layout, assembly.results[whole]), assembly.image_digests),
        kernels=tuple(_kernels(view)),
        system=next((section.what for section in view.sections if section.name == ".osrel"), ""),
        slices=tuple(_slices(layout, view)),
        findings=check(host, [layout]),
        trust=_trust(trust, options.level),
        signature=signature,
        kernel_signatures=kernel_signatures,
        platforms=tuple(PlatformFacts(group.name, group.plugin, len(group.machines)) for group in options.groups),
        firmware=tuple(_firmware(image, assembly.results[request], matches) for image, request in firmware),
        matches=matches,
        received=received(matches),
        known=len(machines),
        served=len(_served(match for match in matches if match.firmware and match.firmware.present)),
        predictions=_predictions(layout, host, assembly, options, view),
        policies=policy_facts(
            policies,
            predict_everything(layout, assembly, policies.banks) if policies.banks else None,
            options.phases,
            {profile.number: profile.id for profile in view.profiles},
        ),
    )


def _kernels(view: LayoutView) -> Iterator[KernelFacts]:
    releases = {section.profile: section.what for section in view.sections if section.name == ".uname"}
    for section in view.sections:
        if section.name == ".linux":
            at = "" if section.profile is None else f"@{section.profile}"
            release = releases.get(section.profile, releases.get(None, ""))
            yield KernelFacts(f".linux{at}", section.what, release, section.sha256 or "")


def _slices(layout: Layout, view: LayoutView) -> Iterator[SliceFacts]:
    names = {profile.number: profile for profile in view.profiles}
    by_profile: dict[int | None, list[SectionView]] = {}
    for section in view.sections:
        if section.raw_size:
            by_profile.setdefault(section.profile, []).append(section)

    for number in (None, *layout.profiles):
        own = by_profile.get(number, [])
        if own:
            begin = min(section.offset for section in own) if number is not None else 0
            end = max(section.offset + section.raw_size for section in own)
            profile = names.get(number) if number is not None else None
            yield SliceFacts(
                profile=number,
                id=profile.id if profile else None,
                title=profile.title if profile else None,
                offset=begin,
                size=end - begin,
            )


def _firmware_requests(layout: Layout) -> Iterator[tuple[tuple[int | None, FirmwareImage], Request]]:
    """Every firmware image with its slice, and the request for its payload's digest."""
    for part in slices(layout.plain_sections):
        for image in part.firmware:
            start = layout.sections[image.section.index].header.raw_offset
            if image.header:
                start += image.header.payload_offset
            yield (part.profile, image), Request(((start, start + image.payload.size),))


def _firmware(placed: tuple[int | None, FirmwareImage], digest: Hash, matches: Sequence[MatchFacts]) -> FirmwareFacts:
    profile, image = placed
    users = (
        match
        for match in matches
        if match.firmware
        and match.firmware.present
        and (match.firmware.fwid, match.firmware.profile) == (image.fwid, profile)
    )

    flaw = image.flaw.message if image.flaw else (image.content.flaw if image.content else None)
    return FirmwareFacts(
        profile=profile,
        fwid=image.fwid or "?",
        what=str(image.content) if image.content else "broken",
        size=image.payload.size,
        sha256=digest.hexdigest() if image.header else "",
        flaw=flaw or "",
        machines=len(_served(users)),
    )


def _served(matches: Iterable[MatchFacts]) -> set[tuple[str, str]]:
    """The machines of matches, each once, by platform and name."""
    return {(match.platform, machine.name) for match in matches for machine in match.machines}


def _trust(trust: Trust, level: Sequence[SbatRow]) -> TrustFacts:
    db, dbx = trust.db, trust.dbx
    return TrustFacts(
        given=db is not None,
        certificates=tuple(map(_subject, db.certificates)) if db else (),
        digests=len(db.images) if db else 0,
        revoked=len(dbx.certificates) + len(dbx.images) + len(dbx.certificate_hashes),
        sbat_level=bool(level),
    )


def _subject(certificate: bytes) -> str:
    try:
        return x509.subject(certificate)
    except FormatError as error:
        return error.message


def _predictions(
    layout: Layout, host: PluginHost, assembly: Assembly, options: ReportOptions, view: LayoutView
) -> PredictionFacts:
    contents = SectionDigests(layout, assembly, options.banks)
    boot = options.boot(contents)
    shown = boot_view(boot)
    if layout.kind is not ImageKind.UKI:
        return PredictionFacts(banks=options.banks, boot=shown, unknown="it is no UKI: it has no .linux section")

    try:
        machines = [machine for group in options.groups for machine in group.machines]
        predictions = predict(contents, labelled_cases(layout, machines), boot)
    except FukiError as error:
        return PredictionFacts(banks=options.banks, boot=shown, unknown=error.message)
    titles: Mapping[int | None, str | None] = {profile.number: profile.title for profile in view.profiles}
    profiles = profile_facts(layout, predictions, options.phases, boot, titles)
    launches = tuple(_launches(layout, host))
    return PredictionFacts(banks=options.banks, boot=shown, profiles=profiles, launches=launches)


def _launches(layout: Layout, host: PluginHost) -> Iterator[LaunchFacts]:
    for record in second_launches(layout, host):
        for digest in record.prediction.digests:
            yield LaunchFacts(
                fwid=record.firmware,
                profile=record.profile,
                technology=digest.technology,
                register=digest.register,
                digest=digest.digest,
            )
