"""`fuki replay`: what a machine measured, out of its event log, and which of it an image explains."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fuki_build.cli.measure import inspect_uki
from fuki_build.cli.options import json_option
from fuki_build.cli.selecting import boot_options, profile_option
from fuki_build.errors import FormatError, FukiError, MismatchError, RecipeError, located, raised_as
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg import event_log, pcr_text
from fuki_build.formats.tcg.event_log import EventLog, LogKind
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import read_small_file
from fuki_build.image.profiles import find_profiles
from fuki_build.measure.boot_options import read_boot, search_digests
from fuki_build.measure.explain import Explanation, explain, fits_phases, registers
from fuki_build.measure.log_policy import Ruling
from fuki_build.measure.log_views import ExpectedView, ReplayView, register_name, replay_view
from fuki_build.measure.pcr11 import PCR as PHASES_PCR
from fuki_build.measure.predict import cases
from fuki_build.measure.reasons import reasons
from fuki_build.measure.register_sources import StartedImage
from fuki_build.measure.registers import PHASES
from fuki_build.measure.rtmr import FIRMWARE
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.signing.secure_boot.boot import with_authorities
from fuki_build.signing.secure_boot.candidates import policy_candidates

_MAX_VALUES = 64 * 1024


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="Hold the log against this UKI.")
@click.option(
    "--policy", type=click.Path(path_type=Path), help="Judge each event by this file: what it does not name is refused."
)
@profile_option
@click.option("--kind", type=click.Choice([kind.value for kind in LogKind]), help="What the log is of, if not clear.")
@click.option(
    "--expect",
    "expected",
    metavar="PCR=HEX",
    multiple=True,
    help="What a register is to have; or a file that tpm2_pcrread wrote, or a TPM's directory in /sys (repeatable).",
)
@boot_options
@json_option(lambda: ReplayView)
def replay(
    log: Path,
    image: Path | None,
    policy: Path | None,
    profile: str | None,
    kind: str | None,
    expected: tuple[str, ...],
    as_json: bool,
    **boot: Any,  # noqa: ANN401 - what boot_options give
) -> None:
    """Recompute registers from LOG, an event log, and tell event by event what explains it.

    LOG is /sys/kernel/security/tpm0/binary_bios_measurements, or /sys/firmware/acpi/tables/data/CCEL of a
    confidential guest. With --image, its events are held against what the image predicts; with --policy, against
    all that may have been measured. Exits with 3 when a register has another value than expected, when the image
    leaves something unexplained, when the policy refuses something, or when the log is damaged or cut short: what
    stands before is shown.
    """
    if image is not None and policy is not None:
        raise RecipeError("a policy names the images itself", where="--image", hint="add it to programs.images there")
    decoded = read_log(log, LogKind(kind) if kind else None)
    expected_values = dict(_expected(expected))

    why: list[tuple[int, str]] = []
    layout = subject = None
    if image is None:
        explanation = explain(decoded)
    else:
        explanation, subject = _hold(decoded, image, profile, boot)
        contents, layout = subject.contents, subject.contents.layout
        why = list(reasons(explanation, contents, decoded.kind))

    results = [_result(decoded, bank, register, value) for (bank, register), value in sorted(expected_values.items())]
    if any(not result.holds for result in results):
        from fuki_build.cli.replay_search import why_others  # noqa: PLC0415 - only for what does not hold

        why += why_others(decoded, results, subject)
    judged = None
    if policy is not None:
        from fuki_build.cli.replay_policy import judge_log  # noqa: PLC0415 - only where it is asked for

        judged = judge_log(decoded, policy)
    view = replay_view(decoded, explanation, layout, why, results, judged)

    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(view)
    else:
        from fuki_build.cli.render.measure import show_replay  # noqa: PLC0415

        show_replay(view)
    _judge(decoded, explanation, view, str(log), image)


def _judge(log: EventLog, explanation: Explanation, view: ReplayView, where: str, image: Path | None) -> None:
    """Raise `MismatchError` for what does not hold, `FukiError` where nothing could be computed."""
    if log.flaw:
        raise MismatchError(
            f"the log is damaged behind its first {log.end} bytes ({log.end:#x}): {log.flaw}",
            where=where,
            hint="what stands before that is shown; was the file copied to its end?",
        )

    if view.not_computed and len(view.not_computed) == len(view.banks):
        raise FukiError(f"none of its banks can be computed: {', '.join(view.not_computed)}", where=where)

    results = view.expected
    wrong = [result for result in results if not result.holds]
    if wrong:
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
        name = register_name(log.kind, first.register)
        raise MismatchError(f"{name} of {first.bank} is {first.value}, expected is {first.expected}{more}", where=where)

    if view.policy is not None and not view.policy.holds:
        refused = view.policy.counts[Ruling.REFUSED]
        events = "an event" if refused == 1 else f"{refused} events"
        text = (
            f"{view.policy.policy} refuses {events}" if refused else f"{view.policy.policy}: {view.policy.missing[0]}"
        )
        raise MismatchError(text, where=where)

    if image is not None and not explanation.complete:
        raise MismatchError(f"{image} does not explain everything in the registers that are its own", where=where)

    for register in view.registers:
        # How often a guest's kernel leaves the boot services is the machine's, and in RTMR1.
        if not register.holds and (log.kind is LogKind.TPM or register.register != FIRMWARE + 1):
            text = f"{register.name} has the events that {image} predicts, in another order"
            raise MismatchError(text, where=where)


def read_log(path: Path, kind: LogKind | None) -> EventLog:
    """The log in a file. Raises `FukiError`."""
    with located(str(path)):
        return event_log.decode(read_small_file(path, event_log.MAX_SIZE), kind)


def _hold(log: EventLog, image: Path, profile: str | None, boot: Mapping[str, Any]) -> tuple[Explanation, StartedImage]:
    banks = tuple(bank for bank in SIZES if bank in log.banks)
    if not banks:
        raise FukiError(f"none of the log's banks can be computed: {', '.join(log.banks)}")

    layout = inspect_uki(image)
    boot_cases = cases(layout, None, find_profiles(layout, profile))
    how = read_boot(banks, **boot)
    contents = SectionDigests(layout, assemble(layout, digests=search_digests(banks, how.policy)), banks)
    how = with_authorities(how, contents)
    return explain(log, contents, boot_cases, how), StartedImage(
        contents, boot_cases, how, policy_candidates(how, contents)
    )


def _expected(texts: Sequence[str]) -> Iterator[tuple[tuple[str, int], bytes]]:
    for text in texts:
        path = Path(text)
        about = text if path.exists() else None
        with raised_as(RecipeError, "--expect", of=FormatError, about=about):
            if path.is_dir():
                yield from _directory(path).items()
            elif path.is_file():
                yield from pcr_text.decode(read_small_file(path, _MAX_VALUES).decode("utf-8", "replace")).items()
            else:
                yield pcr_text.decode_value(text)


def _directory(path: Path) -> dict[tuple[str, int], bytes]:
    """The registers in a directory like /sys/class/tpm/tpm0, one file each."""
    registers = {}
    for bank in SIZES:
        folder = path if path.name == f"pcr-{bank}" else path / f"pcr-{bank}"
        for file in sorted(folder.glob("[0-9]*")):
            text = read_small_file(file, _MAX_VALUES).decode("utf-8", "replace").strip()
            key, value = pcr_text.decode_value(f"{bank}:{file.name}={text}")
            registers[key] = value

    if not registers:
        raise FormatError(f"{path} has no registers", hint="name a directory such as /sys/class/tpm/tpm0")
    return registers


def _result(log: EventLog, bank: str, register: int, value: bytes) -> ExpectedView:
    """How an expected value compares; a PCR 11 that was read later has phases that no firmware log tells of."""
    if bank not in log.banks:
        raise RecipeError(f"the log has no bank {bank}", where="--expect", hint=f"it has {', '.join(log.banks)}")

    own = registers(log, bank).get(register, bytes(SIZES[bank]))
    phase = None
    if own != value and register == PHASES_PCR and log.kind is LogKind.TPM:
        phase = fits_phases(value, bank, own, PHASES)

    return ExpectedView(
        register=register,
        bank=bank,
        expected=value.hex(),
        value=own.hex(),
        holds=own == value or phase is not None,
        phase=phase,
    )
