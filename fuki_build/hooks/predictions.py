"""What output formats that tell verifiers of predictions have in common: options, the predictions, and their view."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fuki_build.errors import RecipeError
from fuki_build.hooks.outputs import Build, OutputFormat, PlannedFile, PreviewContext
from fuki_build.hooks.prediction_options import (
    PredictionOptions,
    boot_of,
    check_files,
    has_rtmrs,
    has_variables,
    named,
    option_files,
)
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds
from fuki_build.image.profiles import chosen_profiles
from fuki_build.measure.registers import check_banks, split_phases

if TYPE_CHECKING:
    from fuki_build.image.layout import Layout
    from fuki_build.measure.boot import Boot
    from fuki_build.measure.predict import Case, Prediction
    from fuki_build.measure.views import PredictionsView


class PredictionOutput(OutputFormat):
    r"""An output format about what machines will measure, for every profile and everything that machines select.

    >>> class Registers(PredictionOutput):
    ...     name = "registers"
    ...     suffix = ".registers.txt"
    ...     Options = PredictionOptions
    ...     def emit(self, options, build, context):
    ...         view = self.view(options, build)
    ...         lines = [str(register.values) for case in view.predictions for register in case.registers]
    ...         context.write(context.path, "\n".join(lines).encode())
    >>> Registers().banks(PredictionOptions(banks=("sha384", "sha1")))
    ('sha1', 'sha384')
    """

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401
        # db may list programs by their SHA-256.
        return DigestNeeds(image=frozenset({"sha256"})) if has_variables(options) else NO_DIGESTS

    def banks(self, options: Any) -> Sequence[str]:  # noqa: ANN401 - an instance of Options
        return check_banks((*options.banks, *(_rtmr_banks() if has_rtmrs(options) else ())), "banks")

    def needs_signatures(self, options: Any) -> bool:  # noqa: ANN401
        return has_variables(options)

    def files(self, options: Any) -> Sequence[str]:  # noqa: ANN401
        return tuple(option_files(options))

    def preview(self, options: Any, context: PreviewContext) -> Sequence[PlannedFile]:  # noqa: ANN401
        self.banks(options)
        for index, path in enumerate(options.phases):
            split_phases(path, f"phases[{index}]")
        check_files(options, context.directory)
        with named("profiles"):
            chosen_profiles(context.uki, options.profiles)
        return super().preview(options, context)

    def predictions(self, options: PredictionOptions, build: Build) -> "tuple[Sequence[Prediction], Boot]":
        """A prediction for each case, as events, and the boot that they are of. Raises `FukiError`."""
        from fuki_build.measure.predict import predict  # noqa: PLC0415 - most recipes predict nothing
        from fuki_build.measure.section_digests import SectionDigests  # noqa: PLC0415

        layout = build.uki.layout
        contents = SectionDigests(layout, build.uki.assembly, tuple(self.banks(options)))
        boot = build.authorized(boot_of(options, build, contents.banks), contents)
        return predict(contents, _cases(options, layout, build), boot), boot

    def view(self, options: PredictionOptions, build: Build) -> "PredictionsView":
        """The same in plain values: registers by case and phase, in hex. Raises `FukiError`."""
        from fuki_build.measure.views import predictions_view  # noqa: PLC0415 - as above

        predictions, boot = self.predictions(options, build)
        phases = [split_phases(path, "phases") for path in options.phases]
        rtmrs = has_rtmrs(options)
        return predictions_view(build.uki.layout, predictions, phases, boot, options.pcrs, rtmrs=rtmrs)


def _rtmr_banks() -> Sequence[str]:
    from fuki_build.measure.rtmr import BANK  # noqa: PLC0415 - as above

    return (BANK,)


def _cases(options: PredictionOptions, layout: "Layout", build: Build) -> "Sequence[Case]":
    """What the options ask for of all that the image allows. Raises `RecipeError` where nothing is left."""
    from fuki_build.measure.predict import cases, labelled_cases, with_firmware  # noqa: PLC0415 - as above

    with named("profiles"):
        profiles = chosen_profiles(layout, options.profiles)
    if not options.machines:
        possible = labelled_cases(layout, build.machines, profiles)
    else:
        machines = [m for m in build.machines if any(fnmatchcase(m.name, pattern) for pattern in options.machines)]
        if not machines:
            hint = f"there are: {', '.join(dict.fromkeys(m.name for m in build.machines)) or 'none'}"
            patterns = " or ".join(map(repr, options.machines))
            raise RecipeError(f"there is no machine {patterns}", where="machines", hint=hint)
        possible = cases(layout, machines, profiles)
    with named("firmware"):
        return with_firmware(possible, options.firmware)
