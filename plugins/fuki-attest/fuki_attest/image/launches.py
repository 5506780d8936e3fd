"""Launch measurements of reports and quotes against what is predicted of an image."""

from collections.abc import Iterator, Sequence

from fuki_build.hooks import LaunchRecord, LaunchRow, to_document
from msgspec.structs import replace

from fuki_attest.formats.snp_report import SnpReport
from fuki_attest.formats.td_report import TdBody
from fuki_attest.image.expectations import ImageExpectations
from fuki_attest.image.shown import ShownView
from fuki_attest.verify.steps import About, EvidenceStep, StepKind, Steps
from fuki_attest.words import snp as words

_LAUNCH = ("MEASUREMENT", "MRTD")


class Launches:
    """The predictions for one technology, as rows; `shown` grows while evidence is held against them."""

    def __init__(self, records: Sequence[LaunchRecord], image: str) -> None:
        document = to_document(records)
        self.rows = document.launches
        self.notes = document.notes
        self.image = image
        self.shown: list[ShownView] = []

    def matching(self, digest: bytes) -> list[LaunchRow]:
        """The launches that give this measurement."""
        return [row for row in self.rows if row.register in _LAUNCH and row.digest == digest.hex()]

    def snp_steps(self, about: About, report: SnpReport, expected: ImageExpectations) -> Steps:
        """A report's measurement, and what the owner of the guest says of it."""
        rows = self.matching(report.measurement)
        yield self._launch_step(about, report.measurement, rows)
        kind, processor = "SEV-SNP guest", words.processor(report)
        self.shown.append(_shown(about.subject, kind, processor, rows))
        yield from _owner_steps(about, report, expected)

    def tdx_steps(self, about: About, body: TdBody, expected: ImageExpectations) -> Steps:
        """MRTD, and the registers that grow while the image boots."""
        rows = self.matching(body.mr_td)
        yield self._launch_step(about, body.mr_td, rows)

        # Rows of runtime registers are told for each firmware; only those of the one that started count.
        firmware = {(row.firmware, row.profile) for row in rows}
        boots: list[set[str]] = []
        for number in (1, 2):
            known = [row for row in self._runtime(number) if (row.firmware, row.profile) in firmware]
            yield self._runtime_step(about, number, body.rtmrs[number], known, launched=bool(rows))
            boots += [{row.boot or "" for row in known if row.digest == body.rtmrs[number].hex()}]

        # RTMR1 is the same for all profiles; RTMR2 tells them apart, where it is predicted.
        self.shown.append(_with_boot(_shown(about.subject, "TDX guest", "", rows), boots[1] or boots[0]))
        if expected.host_data is not None:
            yield about.step(
                StepKind.OWNER,
                "MRCONFIGID",
                "the host data that you expect",
                body.mr_config_id == expected.host_data.ljust(48, b"\0"),
                f"it is {body.mr_config_id.hex()}",
            )

    def _runtime(self, number: int) -> Iterator[LaunchRow]:
        return (row for row in self.rows if row.register == f"RTMR{number}")

    def _launch_step(self, about: About, measurement: bytes, rows: Sequence[LaunchRow]) -> EvidenceStep:
        predicted = [row for row in self.rows if row.register in _LAUNCH]
        claim, against = "launch measurement", f"the predictions for {self.image}"
        if not predicted:
            reasons = "; ".join(dict.fromkeys(f"{note.firmware}: {note.message}" for note in self.notes))
            why = reasons or "the image has no firmware that is made for it"
            return about.not_verified(StepKind.FIRMWARE, claim, against, why, asked=True)
        detail = f"it is {measurement.hex()}, none of {len(predicted)} that were predicted"
        # What hashes of a kernel are in covers what the firmware starts, too.
        is_boot = any(row.register == "MEASUREMENT" and row.boot is not None for row in rows)
        return about.step(StepKind.BOOT if is_boot else StepKind.FIRMWARE, claim, against, bool(rows), detail)

    def _runtime_step(
        self, about: About, number: int, value: bytes, known: Sequence[LaunchRow], *, launched: bool
    ) -> EvidenceStep:
        claim, against = f"RTMR{number}", f"the predictions for {self.image}"
        if not known:
            notes = "; ".join(dict.fromkeys(note.message for note in self.notes if f"RTMR{number}" in note.message))
            why = notes or ("it is not predicted" if launched else "the image's firmware did not start")
            return about.not_verified(StepKind.BOOT, claim, against, why, asked=False)
        return about.step(
            StepKind.BOOT,
            claim,
            against,
            any(row.digest == value.hex() for row in known),
            f"it is {value.hex()}, none of {len(known)} that were predicted",
        )


def _shown(subject: str, kind: str, processor: str, rows: Sequence[LaunchRow]) -> ShownView:
    """What the launches that match have in common."""
    firmware = {row.firmware for row in rows}
    profiles = {row.profile for row in rows}

    profile = profiles.pop() if len(profiles) == 1 else None
    return ShownView(
        subject=subject,
        kind=kind,
        processor=processor,
        firmware=" or ".join(sorted(firmware)) if firmware else None,
        profile=profile,
        profile_known=profile is not None,
        launch=_launch_words(rows),
    )


def _with_boot(shown: ShownView, boots: set[str]) -> ShownView:
    """With the boot that its runtime registers show, such as `disk@1`: the way, and the profile's number."""
    if len(boots) != 1:
        return shown
    (boot,) = boots
    _, at, number = boot.partition("@")
    return replace(
        shown,
        launch="; ".join(filter(None, (shown.launch, f"boot {boot}"))),
        profile=int(number) if at and number.isdecimal() else shown.profile,
        profile_known=True,
    )


def _launch_words(rows: Sequence[LaunchRow]) -> str:
    """How the guest was launched, as far as its measurement tells: what several launches share is told once."""
    models: dict[str, list[str]] = {}
    for row in rows:
        vcpus = f"{row.vcpus} vCPUs" if row.vcpus else ""
        parts = (vcpus, f"under {row.vmm}" if row.vmm else "", row.boot, row.variant)
        models.setdefault(" ".join(filter(None, parts)), []).append(row.cpu_model or "")
    texts = []
    for where, names in models.items():
        named = list(dict.fromkeys(filter(None, names)))
        texts.append(where + (f" ({' or '.join(named)})" if named else ""))
    return " or ".join(texts)


def _owner_steps(about: About, report: SnpReport, expected: ImageExpectations) -> Steps:
    if expected.policies:
        yield about.step(
            StepKind.POLICY,
            "policy",
            "the recipe's launches",
            report.policy in expected.policies,
            f"it is {report.policy:#x}, not {' or '.join(f'{one:#x}' for one in sorted(expected.policies))}",
        )
    else:
        why = f"the recipe names none; it is {report.policy:#x}"
        yield about.not_verified(StepKind.POLICY, "policy", "the recipe's launches", why, asked=False)

    digests = (
        ("host data", report.host_data, expected.host_data),
        ("id key digest", report.id_key_digest, expected.id_key_digest),
        ("author key digest", report.author_key_digest, expected.author_key_digest),
    )
    for claim, value, digest in digests:
        if digest is not None:
            yield about.step(StepKind.OWNER, claim, "what you expect", value == digest, f"it is {value.hex()}")
        elif expected.ids is None or claim == "host data":
            yield about.not_verified(
                StepKind.OWNER, claim, "what you expect", f"nothing was given; it is {value.hex()}", asked=False
            )
    if expected.ids is not None:
        yield from _id_steps(about, report, expected)


def _id_steps(about: About, report: SnpReport, expected: ImageExpectations) -> Steps:
    """The ID block that the guest was started with, which the report repeats."""
    ids = expected.ids
    if ids is None:
        return

    block = next((one for one in ids.blocks if one.launch_digest == report.measurement), None)
    against = "the ID blocks"
    yield about.step(StepKind.OWNER, "measurement", against, block is not None, "no block is for this measurement")
    yield about.step(
        StepKind.OWNER, "id key digest", against, report.id_key_digest == ids.id_key_digest, report.id_key_digest.hex()
    )
    author = report.author_key_digest
    yield about.step(
        StepKind.OWNER, "author key digest", against, author == ids.author_key_digest, f"it is {author.hex()}"
    )

    if block is not None:
        yield about.step(
            StepKind.OWNER, "family id", against, report.family_id == block.family_id, f"it is {report.family_id.hex()}"
        )
        yield about.step(
            StepKind.OWNER, "image id", against, report.image_id == block.image_id, f"it is {report.image_id.hex()}"
        )
        yield about.step(
            StepKind.OWNER, "guest svn", against, report.guest_svn == block.svn, f"it is {report.guest_svn}"
        )
        yield about.step(StepKind.OWNER, "policy", against, report.policy == block.policy, f"it is {report.policy:#x}")
