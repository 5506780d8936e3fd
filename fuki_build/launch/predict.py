"""Launch measurements of an image's firmware, or of firmware files: what the models say of them."""

import hashlib
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from fuki_build.errors import FukiError, PluginError, RecipeError
from fuki_build.hooks.host import Contribution, PluginHost
from fuki_build.hooks.launch import LaunchModel, LaunchNote, LaunchParameters, LaunchPrediction, LaunchRecord
from fuki_build.launch.boots import LaunchFirmware, ProfileBoot, boots_of
from fuki_build.launch.runtime import Runtime, runtime_registers
from fuki_build.recipe.launch import MAX_FIRMWARE, LaunchRequest, models


def predict(
    host: PluginHost,
    request: LaunchRequest,
    firmware: Sequence[LaunchFirmware],
    boots: Sequence[ProfileBoot],
    runtime: Runtime | None = None,
) -> Iterator[LaunchRecord]:
    """What every technology says of every firmware image that the request is about.

    `runtime` is the image that guests boot, if its registers are to be predicted.

    A technology that was not asked for by name, and that the firmware cannot do, gives a note; one that was, an error.
    """
    names = [subject.name for subject in firmware]
    for name in request.firmware:
        if name not in names:
            hint = f"there are: {', '.join(names) or 'none'}"
            raise RecipeError(f"there is no firmware {name!r}", where=request.where, hint=hint)

    chosen = [subject for subject in firmware if not request.firmware or subject.name in request.firmware]
    for subject in chosen:
        content = subject.content.read_small(MAX_FIRMWARE, f"the firmware {subject.name}")
        registers = () if runtime is None else runtime_registers(runtime, subject.name, subject.profile)
        parameters = replace(request.parameters, boots=boots_of(subject, boots), runtime=tuple(registers))
        predictions = [
            _predict(model, content, parameters, subject, request)
            for name, model in models(host, request.where).items()
            if not request.technologies or name in request.technologies
        ]
        yield LaunchRecord(
            firmware=subject.name,
            profile=subject.profile,
            sha256=hashlib.sha256(content).hexdigest(),
            prediction=LaunchPrediction(
                tuple(digest for prediction in predictions for digest in prediction.digests),
                (
                    *(LaunchNote(", ".join(request.technologies), text) for text in request.notes),
                    *(note for prediction in predictions for note in prediction.notes),
                ),
            ),
            policy=request.policy,
        )


def _predict(
    model: Contribution[LaunchModel],
    content: bytes,
    parameters: LaunchParameters,
    subject: LaunchFirmware,
    request: LaunchRequest,
) -> LaunchPrediction:
    name = model.thing.name
    try:
        with model.running():
            prediction = model.thing.predict(content, parameters)
    except (PluginError, RecipeError) as error:
        error.at(request.where)
        raise

    # Of technologies that nobody named, what a firmware is not made for is a note and no error.
    except FukiError as error:
        if request.named:
            error.at(subject.name)
            raise
        return LaunchPrediction(notes=(LaunchNote(name, error.message),))

    if prediction is None and request.named:
        hint = "'fuki firmware show' tells what it has"
        raise FukiError(f"the firmware is not made for {model.thing.title}", where=subject.name, hint=hint)
    return prediction or LaunchPrediction()
