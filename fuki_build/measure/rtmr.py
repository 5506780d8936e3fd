"""RTMRs of Intel TDX: each stands for several TPM registers, whose events it contains in chronological order.

A guest has them instead of a TPM. If it has both, firmware measures into RTMRs only, the stub into both, and the kernel
into the TPM only; predictions are for a guest without a TPM. systemd-pcrphase and the other services that extend
registers later support only TPMs: without one they exit without doing anything (systemd-pcrextend(8), --graceful), so
that no RTMR contains boot phases.

Sources: UEFI 2.10, 38.4.1, and Intel, "TDX Virtual Firmware Design Guide", for the registers; edk2's TdTcg2Dxe.c for
what firmware measures; the stub's measure.c, and systemd's NEWS for 256 and 261; Linux's efi-stub-helper.c.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from fuki_build.image.layout import Layout
from fuki_build.image.stub import StubModel
from fuki_build.measure import pcr0, pcr4
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import digests, replay
from fuki_build.measure.rtmr0 import with_later

BANK = "sha384"
"""RTMRs have one bank."""
PCRS: Mapping[int, tuple[int, ...]] = {0: (1, 7), 1: (2, 3, 4, 5, 6), 2: tuple(range(8, 16))}
"""TPM registers that each RTMR stands for. RTMR3 is reserved for the running system; PCR 0 corresponds to MRTD."""
SETTINGS, FIRMWARE, SYSTEM = 0, 1, 2
"""The RTMRs: for settings, for programs that firmware loads, and for measurements by the stub and the kernel."""

_GPT_PCR = 5
_EXITS = (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success")
_MAX_RELEASE = 256
_FIRST_KERNEL = (6, 10)
"""The first Linux whose EFI stub measures without a TPM (efi/libstub: "Measure into CC protocol")."""
_OLD_KERNEL = f"a kernel before {_FIRST_KERNEL[0]}.{_FIRST_KERNEL[1]} measures into TPMs only, if it was not changed"
_NO_TABLE = "the partition table of the disk is not known"
_SMBIOS = "the stub of a confidential guest passes over options in SMBIOS strings: predict without them"
_OPTIONS = "with Secure Boot, the stub of a confidential guest passes over a loader's options: predict without them"
_LOADERS = "boot loaders measure more than is predicted of them: shim its lists of keys, systemd-boot its settings"


class Rtmr(Struct, frozen=True):
    """A register after the kernel took over, and its events; `unknown` says why it cannot be predicted."""

    number: int
    events: tuple[Event, ...]
    unknown: str

    @property
    def name(self) -> str:
        return f"RTMR{self.number}"

    @property
    def value(self) -> bytes | None:
        """48 bytes; None if it cannot be predicted."""
        return None if self.unknown else replay(BANK, (event.digests[BANK] for event in self.events))


def rtmrs(prediction: Prediction, boot: Boot, layout: Layout) -> tuple[Rtmr, ...]:
    """RTMR1 and RTMR2 of a guest that boots the image, `layout`, as it was predicted in the bank sha384.

    RTMR0, of which files decide a part, comes before them where the firmware's configuration is known.

    Two assumptions are made: no device has a driver in its ROM, and the kernel's first call of ExitBootServices
    succeeds. Otherwise RTMR1 has more events.
    """
    events = tuple(_in_guest(event, layout, prediction.case.profile) for event in measured(prediction, layout.model))
    numbers = (SETTINGS, FIRMWARE, SYSTEM) if boot.configuration else (FIRMWARE, SYSTEM)
    events_of = {number: tuple(event for event in events if event.pcr in PCRS[number]) for number in numbers}
    if boot.configuration:
        events_of[SETTINGS] = (*boot.configuration, *with_later(events_of[SETTINGS]))
    events_of[FIRMWARE] = (*_with_partitions(events_of[FIRMWARE], boot), *_exits())
    passed_over = {SYSTEM: _passed_over(boot, layout, prediction.case.profile)}
    return tuple(
        Rtmr(number, extended, _unknown(extended, boot, passed_over.get(number, ())))
        for number, extended in events_of.items()
    )


def measured(prediction: Prediction, model: StubModel) -> tuple[Event, ...]:
    """The events that occur in a guest with RTMRs.

    Older stubs measure some, or all, into TPMs only, and what firmware measures of itself into PCR 0 is in MRTD.
    """
    return tuple(
        event
        for event in prediction.events
        if event.pcr != pcr0.PCR
        and (
            event.by is not Measurer.STUB
            or (model.measures_cc and (model.measures_cc_tags or event.type != "EV_EVENT_TAG"))
        )
    )


def _passed_over(boot: Boot, layout: Layout, profile: int | None) -> tuple[str, ...]:
    """Why a command line was predicted that the guest does not have: its host decides on options (stub.c)."""
    reasons = [_SMBIOS] if boot.smbios else []
    if boot.secure_boot and boot.options and layout.effective_section(".cmdline", profile) is None:
        reasons.append(_OPTIONS)
    return tuple(reasons)


def _unknown(events: tuple[Event, ...], boot: Boot, passed_over: tuple[str, ...]) -> str:
    reasons = [*(event.unknown for event in events if event.unknown), *passed_over]
    if boot.loaders or boot.shim:
        reasons.append(_LOADERS)
    return "; ".join(reasons)


def _in_guest(event: Event, layout: Layout, profile: int | None) -> Event:
    if event.by is not Measurer.KERNEL or not _is_old(layout, profile):
        return event
    return Event(
        pcr=event.pcr,
        type=event.type,
        what=event.what,
        source=event.source,
        by=event.by,
        digests={},
        unknown=_OLD_KERNEL,
    )


def _is_old(layout: Layout, profile: int | None) -> bool:
    """Whether `.uname` names a kernel that does not measure without a TPM."""
    section = layout.effective_section(".uname", profile)
    if section is None:
        return False
    match = re.match(rb"(\d{1,4})\.(\d{1,4})", section.content.read_at(0, _MAX_RELEASE))
    return match is not None and (int(match[1]), int(match[2])) < _FIRST_KERNEL


def _with_partitions(events: tuple[Event, ...], boot: Boot) -> Iterator[Event]:
    """The events, with the partition table before the first program from a disk."""
    due = boot.method is BootMethod.DISK and boot.partitions != b""
    for event in events:
        if due and event.type == pcr4.APPLICATION:
            known = {} if boot.partitions is None else digests(boot.partitions, [BANK])
            unknown = _NO_TABLE if boot.partitions is None else ""
            description = "the partition table"
            yield Event(
                pcr=_GPT_PCR,
                type="EV_EFI_GPT_EVENT",
                what=description,
                source="the disk",
                by=Measurer.FIRMWARE,
                digests=known,
                unknown=unknown,
            )
            due = False
        yield event


def _exits() -> Iterator[Event]:
    for text in _EXITS:
        yield Event(
            pcr=_GPT_PCR,
            type="EV_EFI_ACTION",
            what=text.decode(),
            source=CONSTANT,
            by=Measurer.FIRMWARE,
            digests=digests(text, [BANK]),
        )
