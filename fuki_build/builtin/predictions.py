"""Output formats for predictions: what verifiers want to know of an image in advance."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from fuki_build.errors import RecipeError
from fuki_build.formats.documents import encode_json
from fuki_build.hooks import (
    Build,
    OutputContext,
    OutputFormat,
    PlannedFile,
    PredictionOptions,
    PredictionOutput,
    PreviewContext,
    hookimpl,
)

if TYPE_CHECKING:
    from fuki_build.hooks import Event, Prediction, PredictionsView

IN_TOTO_PREDICATE = "urn:fuki:predictions:1"
"""The predicate type of `PredictionsView` as it is today."""


class JsonOptions(PredictionOptions, frozen=True, kw_only=True):
    template: Annotated[
        str | None,
        Meta(description="a file or template such as predictions.md.j2, which sees `predictions`"),
    ] = None


class PredictionsOutput(PredictionOutput):
    """What machines will measure, as JSON, or as text from a template.

    >>> PredictionsOutput().banks(JsonOptions(banks=("sha384", "sha1")))
    ('sha1', 'sha384')
    """

    name = "predictions"
    suffix = ".predictions.json"
    Options = JsonOptions

    def templates(self, options: JsonOptions) -> Sequence[str]:
        return () if options.template is None else (options.template,)

    def preview(self, options: JsonOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        if options.template is not None:
            context.find_template(options.template)
        return super().preview(options, context)

    def emit(self, options: JsonOptions, build: Build, context: OutputContext) -> None:
        view = self.view(options, build)
        if options.template is None:
            context.write(context.path, encode_json(view))
        else:
            variables = {**build.variables, "predictions": msgspec.to_builtins(view)}
            context.write(context.path, context.render(options.template, variables).encode())


class PcrlockOutput(PredictionOutput):
    """A directory of .pcrlock files for systemd-pcrlock: components, with a variant for each case.

    >>> PcrlockOutput.suffix
    '.pcrlock.d'
    """

    name = "pcrlock"
    suffix = ".pcrlock.d"
    Options = PredictionOptions

    def preview(self, options: PredictionOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        super().preview(options, context)
        return [PlannedFile(context.path, many=True)]

    def emit(self, options: PredictionOptions, build: Build, context: OutputContext) -> None:
        predictions, _ = self.predictions(options, build)
        paths: dict[tuple[str, bytes], Path] = {}
        for prediction in predictions:
            for component, measured in _components(prediction).items():
                events = [event for event in measured if not options.pcrs or event.pcr in options.pcrs]
                if events and not any(event.unknown for event in events):
                    data = msgspec.json.encode({"records": [_record(event) for event in events]}) + b"\n"
                    path = context.path / f"{component}.pcrlock.d" / f"{_variant(prediction)}.pcrlock"
                    # Cases that measure the same are one variant.
                    paths.setdefault((component, data), path)

        for (_, data), path in paths.items():
            context.write(path, data)


def _components(prediction: "Prediction") -> "Mapping[str, Sequence[Event]]":
    """Events by the components that systemd-pcrlock(8) names for them; constants of firmware have theirs in systemd."""
    from fuki_build.hooks import COMMAND_LINE_SOURCE, CONSTANT_SOURCE, PCR_KERNEL_INITRD  # noqa: PLC0415 - slow to load

    own = [event for event in prediction.events if event.source != CONSTANT_SOURCE]
    kernel = [event for event in own if event.pcr == PCR_KERNEL_INITRD]
    return {
        "650-uki": [event for event in own if event.pcr != PCR_KERNEL_INITRD],
        "710-kernel-cmdline": [event for event in kernel if event.source == COMMAND_LINE_SOURCE],
        "720-kernel-initrd": [event for event in kernel if event.source != COMMAND_LINE_SOURCE],
    }


def _record(event: "Event") -> dict[str, Any]:
    digests = [{"hashAlg": bank, "digest": value.hex()} for bank, value in event.digests.items()]
    return {"pcr": event.pcr, "digests": digests}


def _variant(prediction: "Prediction") -> str:
    """A file name that tells the case; systemd-pcrlock takes any."""
    case = prediction.case
    profile = "base" if case.profile is None else f"profile{case.profile}"
    words = [profile, *(word for word in (case.firmware, case.devicetree) if word)]
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words)


class RvpsOptions(PredictionOptions, frozen=True, kw_only=True):
    prefixes: Annotated[
        tuple[str, ...], Meta(description="what stands before _pcr11 in the names that the policy asks for")
    ] = ("tpm",)


class RvpsOutput(PredictionOutput):
    """Reference values for Trustee: a message that registers them with its RVPS.

    >>> RvpsOptions().prefixes
    ('tpm',)
    """

    name = "rvps"
    suffix = ".rvps.json"
    Options = RvpsOptions

    def preview(self, options: RvpsOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        _check_one_bank(self.banks(options), self.name)
        return super().preview(options, context)

    def emit(self, options: RvpsOptions, build: Build, context: OutputContext) -> None:
        context.write(context.path, encode_rvps([self.view(options, build)], options.prefixes))


def encode_rvps(views: "Sequence[PredictionsView]", prefixes: Sequence[str]) -> bytes:
    """The message, with the values of all images. Raises `RecipeError` for several banks."""
    values = _values(views, RvpsOutput.name)
    references = {f"{prefix}_pcr{pcr:02}": of for prefix in prefixes for pcr, of in values.items()}
    payload = base64.b64encode(msgspec.json.encode(references)).decode()
    return encode_json({"version": "0.1.0", "type": "sample", "payload": payload})


class KeylimeOutput(PredictionOutput):
    """A TPM policy for Keylime: the values that registers may have, PCR 11's after any of the phases.

    >>> KeylimeOutput.suffix
    '.keylime.json'
    """

    name = "keylime"
    suffix = ".keylime.json"
    Options = PredictionOptions

    def preview(self, options: PredictionOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        _check_one_bank(self.banks(options), self.name)
        return super().preview(options, context)

    def emit(self, options: PredictionOptions, build: Build, context: OutputContext) -> None:
        context.write(context.path, encode_keylime([self.view(options, build)]))


def encode_keylime(views: "Sequence[PredictionsView]") -> bytes:
    """The policy, with the values of all images. Raises `RecipeError` for several banks."""
    values = _values(views, KeylimeOutput.name)
    mask = sum(1 << pcr for pcr in values)
    registers = {str(pcr): of for pcr, of in values.items()}
    return encode_json({**registers, "mask": f"{mask:#x}"})


def _check_one_bank(banks: Sequence[str], name: str) -> None:
    if len(banks) != 1:
        raise RecipeError(
            f"the format {name} tells the values of one bank", where="banks", hint='for instance ["sha256"]'
        )


def _values(views: "Sequence[PredictionsView]", name: str) -> dict[int, list[str]]:
    """All values of each register that can be told in every case, PCR 11's only after phases."""
    from fuki_build.hooks import PCR_KERNEL_BOOT  # noqa: PLC0415 - as above

    for view in views:
        _check_one_bank(view.banks, name)
    cases = [case for view in views for case in view.predictions]
    unknown = {register.pcr for case in cases for register in case.registers if register.unknown}

    values: dict[int, list[str]] = {}
    for case in cases:
        for register in case.registers:
            if register.pcr not in unknown and (register.pcr != PCR_KERNEL_BOOT or register.phase is not None):
                values.setdefault(register.pcr, []).extend(register.values.values())

    return {pcr: list(dict.fromkeys(of)) for pcr, of in sorted(values.items())}


class InTotoOutput(PredictionOutput):
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
