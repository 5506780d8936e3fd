"""Why a register has another value: which measurements of images give it."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.launch.of_image import inspect_uki
from fuki_build.measure import rtmr
from fuki_build.measure.boot import Boot
from fuki_build.measure.boot_options import search_digests
from fuki_build.measure.explain import explain
from fuki_build.measure.log_search import search_log
from fuki_build.measure.log_views import register_name
from fuki_build.measure.predict import cases
from fuki_build.measure.reasons import reasons
from fuki_build.measure.register_search import RegisterSearch, RegisterSearcher
from fuki_build.measure.register_search_views import RegisterSearchView, register_search_view
from fuki_build.measure.register_sources import SEARCHED, StartedImage, register_sources, unpredicted
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.signing.secure_boot.boot import with_authorities
from fuki_build.signing.secure_boot.candidates import policy_candidates

_FIRMWARE = "it is the firmware's, the machine's or the running system's own, and not predicted of an image"


class RegisterValue(Struct, frozen=True, kw_only=True):
    """A register that has a value: `register` is named as in `PCR 11` or `RTMR2`."""

    register: str
    bank: str
    value: bytes


class RegisterQuestion(Struct, frozen=True, kw_only=True):
    """Values, the images that they may be of, and what is known of the start.

    `machines` are those that may have booted; None is any. `texts` are command lines that a boot loader, or a
    hypervisor, may have passed.
    """

    values: tuple[RegisterValue, ...]
    images: tuple[Path, ...]
    machines: tuple[Machine, ...] | None = None
    boot: Boot = Boot()
    texts: tuple[str, ...] = ()


def search_registers(question: RegisterQuestion) -> tuple[RegisterSearchView, ...]:
    """What gives each of the values. Raises `FukiError` for images that cannot be read or measured."""
    banks = tuple(bank for bank in SIZES if any(bank == one.bank for one in question.values))
    images = [_image(path, banks, question) for path in question.images]
    return tuple(_search(one, images, question.texts) for one in question.values)


def _image(path: Path, banks: tuple[str, ...], question: RegisterQuestion) -> StartedImage:
    layout = inspect_uki(path)
    contents = SectionDigests(layout, assemble(layout, digests=search_digests(banks, question.boot.policy)), banks)
    boot_cases = cases(layout, question.machines, layout.profiles or (None,))
    boot = with_authorities(question.boot, contents)
    return StartedImage(contents, boot_cases, boot, policy_candidates(boot, contents))


def _search(value: RegisterValue, images: Sequence[StartedImage], texts: Sequence[str]) -> RegisterSearchView:
    register, bank = value.register, value.bank
    if register not in SEARCHED or (register.startswith("RTMR") and bank != rtmr.BANK):
        nothing = RegisterSearch(matches=(), sources=0, extends=0, complete=True)
        return register_search_view(register, bank, value.value, nothing, _FIRMWARE)

    sources = [source for image in images for source in register_sources(register, bank, image, texts)]
    search = RegisterSearcher(bank, value.value, sources, phases=register == "PCR 11").run()
    reasons = dict.fromkeys(unpredicted(register, image) for image in images)
    note = "" if search.matches else "; ".join(filter(None, reasons))
    return register_search_view(register, bank, value.value, search, note)


def reasons_of_log(
    log: EventLog, image: Path, machines: Sequence[Machine] | None, boot: Boot
) -> tuple[tuple[str, str], ...]:
    """In which registers, and in what, a log is not what an image measures; none where the image explains it.

    Raises `FukiError`, where none of the log's banks can be computed too.
    """
    banks = tuple(bank for bank in SIZES if bank in log.banks)
    if not banks:
        raise FormatError(f"none of the log's banks can be computed: {', '.join(log.banks)}")
    named = None if machines is None else tuple(machines)
    question = RegisterQuestion(values=(), images=(image,), machines=named, boot=boot)
    started = _image(image, banks, question)
    explanation = explain(log, started.contents, started.cases, started.boot)
    differences = dict.fromkeys(reasons(explanation, started.contents, log.kind))
    return tuple((register_name(log.kind, register), text) for register, text in differences)


def search_in_log(log: EventLog, value: RegisterValue) -> RegisterSearchView | None:
    """How the events of a log give a value: as they are, with phases behind them, or with changes.

    None where the log has no such register, or not in this bank.
    """
    numbers = {register_name(log.kind, number): number for number in range(24)}
    if value.register not in numbers or value.bank not in log.banks:
        return None
    search = search_log(log, value.bank, numbers[value.register], value.value)
    return register_search_view(value.register, value.bank, value.value, search, "")


def is_uki(path: Path) -> bool:
    """Whether a file is an image that measures into registers. Raises `FukiError` where it cannot be read."""
    return Blob.of_file(path).read_at(0, 2) == b"MZ" and inspect(path).kind is ImageKind.UKI
