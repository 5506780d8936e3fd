"""What a call prints of PCR 11: values as systemd-measure prints them, and policies that are to be signed elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path

from fuki_build.formats.uki import pcrsig
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import DigestNeeds
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.measure import pcr11
from fuki_build.measure.predict import Case, cases
from fuki_build.measure.registers import BANKS, PHASES, replay, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.ukify.call import UkifyCall


def measured_text(call: UkifyCall, image: Path) -> str:
    """PCR 11 of the image in each profile and case, phase by phase."""
    layout = inspect(image)
    banks = tuple(call.options.pcr_banks or BANKS)
    contents = SectionDigests(layout, assemble(layout, digests=DigestNeeds(sections=frozenset(banks))), banks)
    phases = [path for group in call.options.phases or () for path in group or ()] or list(PHASES)
    return "".join(_values(call, contents, case, phases) for case in cases(layout, None, layout.profiles or (None,)))


def _values(call: UkifyCall, contents: SectionDigests, case: Case, phases: list[str]) -> str:
    events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
    values: dict[str, list[dict[str, object]]] = {}
    lines: list[str] = []

    for phase in phases:
        for bank in contents.banks:
            start = replay(bank, (event.digests[bank] for event in events), bytes(BANKS[bank]))
            words = pcr11.phase_digests(split_phases(phase), bank)
            value = replay(bank, words, start).hex()
            lines.append(f"{pcr11.PCR}:{bank}={value}")
            values.setdefault(bank, []).append({"phase": phase, "pcr": pcr11.PCR, "hash": value})

    form = call.one("json")
    if form == "off":
        return "\n".join(lines) + "\n\n"
    pretty = form == "pretty"
    separators = (",", " : ") if pretty else (",", ":")
    return json.dumps(values, indent="\t" if pretty else None, separators=separators) + "\n\n"


def policies_text(image: Path) -> str:
    """The policies of all profiles of the image, as one document: what --pcrsig takes when it is signed."""
    entries = [pair for signatures in policies(inspect(image)) for pair in _pairs(signatures)]
    return pcrsig.encode(pcrsig.group(entries)).decode() + "\n"


def policies(layout: Layout) -> Iterator[pcrsig.Signatures]:
    """What each `.pcrsig` of an image has."""
    for placed in layout.sections:
        if placed.name == ".pcrsig":
            yield pcrsig.decode(placed.section.content.read_small(pcrsig.MAX_SIZE, "the .pcrsig section"))


def _pairs(signatures: pcrsig.Signatures) -> Iterator[tuple[str, pcrsig.PolicySignature]]:
    for bank, entries in signatures.items():
        for entry in entries:
            yield bank, entry
