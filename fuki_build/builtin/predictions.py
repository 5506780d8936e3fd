"""Output formats for predictions: what verifiers want to know of an image in advance."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fuki_build.errors import RecipeError
from fuki_build.formats.documents import encode_json
from fuki_build.hooks import Build, OutputContext, OutputFormat, hookimpl
from fuki_build.measure import pcr9
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.events import CONSTANT, Event
from fuki_build.measure.pcr11 import PCR as PHASES_PCR
from fuki_build.measure.predict import Prediction, labelled_cases, predict
from fuki_build.measure.registers import BANKS, PHASES, check_banks, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import PredictionsView, predictions_view

IN_TOTO_PREDICATE = "urn:fuki:predictions:1"
"""The predicate type of `PredictionsView` as it is today."""


class PredictionOptions(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    banks: Annotated[tuple[str, ...], Meta(description=f"of {', '.join(BANKS)}")] = ("sha256",)
    pcrs: Annotated[tuple[int, ...], Meta(description="the registers to tell of; by default all predicted ones")] = ()
    phases: Annotated[tuple[str, ...], Meta(description="paths of boot phases for PCR 11")] = PHASES
    direct: Annotated[bool, Meta(description="whether the hypervisor hands the image over, as with -kernel")] = False
    options: Annotated[str | None, Meta(description="the command line that the boot loader passes")] = None
    secure_boot: Annotated[bool, Meta(description="whether Secure Boot is on")] = False
    boot_secret: Annotated[bool, Meta(description="whether the stub may add a secret of the machine")] = True
    addons: Annotated[bool, Meta(description="whether the recipe's addons are beside the image")] = True


class _PredictionOutput(OutputFormat):
    """What the formats here share: predictions for every profile and everything that machines select."""

    def banks(self, options: Any) -> Sequence[str]:  # noqa: ANN401 - an instance of Options
        return check_banks(options.banks, "banks")

    def predictions(self, options: PredictionOptions, build: Build) -> tuple[Sequence[Prediction], Boot]:
        banks = tuple(self.banks(options))
        beside = build.addons if options.addons else ()
        boot = Boot(
            method=BootMethod.DIRECT if options.direct else BootMethod.DISK,
            options=options.options,
            secure_boot=options.secure_boot,
            secret=options.boot_secret,
            addons=tuple(Addon(f"{addon.layout.name}.addon.efi", addon.layout, addon.assembly) for addon in beside),
        )
        layout = build.uki.layout
        contents = SectionDigests(layout, build.uki.assembly, banks)
        return predict(contents, labelled_cases(layout, build.machines), boot), boot

    def view(self, options: PredictionOptions, build: Build) -> PredictionsView:
        found, boot = self.predictions(options, build)
        words = [split_phases(path, "phases") for path in options.phases]
        return predictions_view(build.uki.layout, found, words, boot, options.pcrs)


class JsonOptions(PredictionOptions, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    template: Annotated[
        str | None,
        Meta(description="a file or template such as predictions.md.j2, which sees `predictions`"),
    ] = None


class PredictionsOutput(_PredictionOutput):
    """What machines will measure, as JSON, or as text from a template.

    >>> PredictionsOutput().banks(JsonOptions(banks=("sha384", "sha1")))
    ('sha1', 'sha384')
    """

    name = "predictions"
    suffix = ".predictions.json"
    Options = JsonOptions

    def emit(self, options: JsonOptions, build: Build, context: OutputContext) -> None:
        view = self.view(options, build)
        if options.template is None:
            context.write(context.path, encode_json(view))
        else:
            variables = {**build.variables, "predictions": msgspec.to_builtins(view)}
            context.write(context.path, context.render(options.template, variables).encode())


class PcrlockOutput(_PredictionOutput):
    """A directory of .pcrlock files for systemd-pcrlock: components, with a variant for each case.

    >>> PcrlockOutput.suffix
    '.pcrlock.d'
    """

    name = "pcrlock"
    suffix = ".pcrlock.d"
    Options = PredictionOptions

    def emit(self, options: PredictionOptions, build: Build, context: OutputContext) -> None:
        found, _ = self.predictions(options, build)
        written: dict[tuple[str, bytes], Path] = {}
        for prediction in found:
            for component, events in _components(prediction).items():
                wanted = [event for event in events if not options.pcrs or event.pcr in options.pcrs]
                if wanted and not any(event.unknown for event in wanted):
                    data = msgspec.json.encode({"records": [_record(event) for event in wanted]}) + b"\n"
                    path = context.path / f"{component}.pcrlock.d" / f"{_variant(prediction)}.pcrlock"
                    # Cases that measure the same are one variant.
                    written.setdefault((component, data), path)
        for (_, data), path in written.items():
            context.write(path, data)


def _components(prediction: Prediction) -> Mapping[str, Sequence[Event]]:
    """Events by the components that systemd-pcrlock(8) names for them; constants of firmware have theirs in systemd."""
    own = [event for event in prediction.events if event.source != CONSTANT]
    return {
        "650-uki": [event for event in own if event.pcr != pcr9.PCR],
        "710-kernel-cmdline": [event for event in own if event.pcr == pcr9.PCR and event.source == pcr9.OPTIONS],
        "720-kernel-initrd": [event for event in own if event.pcr == pcr9.PCR and event.source != pcr9.OPTIONS],
    }


def _record(event: Event) -> dict[str, Any]:
    digests = [{"hashAlg": bank, "digest": value.hex()} for bank, value in event.digests.items()]
    return {"pcr": event.pcr, "digests": digests}


def _variant(prediction: Prediction) -> str:
    """A file name that tells the case; systemd-pcrlock takes any."""
    case = prediction.case
    profile = "base" if case.profile is None else f"profile{case.profile}"
    words = [profile, *(word for word in (case.firmware, case.devicetree) if word)]
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words)


class RvpsOptions(PredictionOptions, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    prefixes: Annotated[
        tuple[str, ...], Meta(description="what stands before _pcr11 in the names that the policy asks for")
    ] = ("tpm",)


class RvpsOutput(_PredictionOutput):
    """Reference values for Trustee: a message that registers them with its RVPS.

    >>> RvpsOptions().prefixes
    ('tpm',)
    """

    name = "rvps"
    suffix = ".rvps.json"
    Options = RvpsOptions

    def emit(self, options: RvpsOptions, build: Build, context: OutputContext) -> None:
        values = _values(self.view(options, build), self.name)
        named = {f"{prefix}_pcr{pcr:02}": found for prefix in options.prefixes for pcr, found in values.items()}
        payload = base64.b64encode(msgspec.json.encode(named)).decode()
        context.write(context.path, encode_json({"version": "0.1.0", "type": "sample", "payload": payload}))


class KeylimeOutput(_PredictionOutput):
    """A TPM policy for Keylime: the values that registers may have, PCR 11's after any of the phases.

    >>> KeylimeOutput.suffix
    '.keylime.json'
    """

    name = "keylime"
    suffix = ".keylime.json"
    Options = PredictionOptions

    def emit(self, options: PredictionOptions, build: Build, context: OutputContext) -> None:
        values = _values(self.view(options, build), self.name)
        mask = sum(1 << pcr for pcr in values)
        context.write(
            context.path, encode_json({**{str(pcr): found for pcr, found in values.items()}, "mask": f"{mask:#x}"})
        )


def _values(view: PredictionsView, name: str) -> dict[int, list[str]]:
    """All values of each register that can be told in every case, PCR 11's only after phases."""
    if len(view.banks) != 1:
        raise RecipeError(
            f"the format {name} tells the values of one bank", where="banks", hint='for instance ["sha256"]'
        )
    unknown = {register.pcr for case in view.predictions for register in case.registers if register.unknown}
    found: dict[int, list[str]] = {}
    for case in view.predictions:
        for register in case.registers:
            if register.pcr not in unknown and (register.pcr != PHASES_PCR or register.phase is not None):
                found.setdefault(register.pcr, []).extend(register.values.values())
    return {pcr: list(dict.fromkeys(values)) for pcr, values in sorted(found.items())}


class InTotoOutput(_PredictionOutput):
    """An in-toto statement: the predictions, said of the image by the SHA-256 of its file.

    >>> InTotoOutput.needs_image_file
    True
    """

    name = "in-toto"
    suffix = ".intoto.json"
    Options = PredictionOptions
    needs_image_file = True

    def emit(self, options: PredictionOptions, build: Build, context: OutputContext) -> None:
        if build.uki.path is None:
            raise ValueError("the image has no file")
        with build.uki.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": build.uki.layout.name, "digest": {"sha256": digest}}],
            "predicateType": IN_TOTO_PREDICATE,
            "predicate": msgspec.to_builtins(self.view(options, build)),
        }
        context.write(context.path, encode_json(statement))


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [PredictionsOutput, PcrlockOutput, RvpsOutput, KeylimeOutput, InTotoOutput]
