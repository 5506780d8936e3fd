"""What output formats that tell verifiers of predictions have in common: options, the predictions, and their view."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from fuki_build.hooks.options import Options
from fuki_build.hooks.records import Build, OutputFormat, PlannedFile, PreviewContext
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds
from fuki_build.measure.registers import BANKS, PHASES, check_banks, split_phases

if TYPE_CHECKING:
    from fuki_build.measure.boot import Boot
    from fuki_build.measure.predict import Prediction
    from fuki_build.measure.views import PredictionsView


class PredictionOptions(Options, frozen=True, kw_only=True):
    """What predictions are of; a format's own options derive from it."""

    banks: Annotated[tuple[str, ...], Meta(description=f"of {', '.join(BANKS)}")] = ("sha256",)
    pcrs: Annotated[tuple[int, ...], Meta(description="the registers to tell of; by default all predicted ones")] = ()
    phases: Annotated[tuple[str, ...], Meta(description="paths of boot phases for PCR 11")] = PHASES
    direct: Annotated[bool, Meta(description="whether the hypervisor hands the image over, as with -kernel")] = False
    options: Annotated[str | None, Meta(description="the command line that the boot loader passes")] = None
    secure_boot: Annotated[bool, Meta(description="whether Secure Boot is on")] = False
    boot_secret: Annotated[bool, Meta(description="whether the stub may add a secret of the machine")] = True
    addons: Annotated[bool, Meta(description="whether the recipe's addons are beside the image")] = True


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

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return NO_DIGESTS

    def banks(self, options: Any) -> Sequence[str]:  # noqa: ANN401 - an instance of Options
        return check_banks(options.banks, "banks")

    def preview(self, options: Any, context: PreviewContext) -> Sequence[PlannedFile]:  # noqa: ANN401
        self.banks(options)
        for index, path in enumerate(options.phases):
            split_phases(path, f"phases[{index}]")
        return super().preview(options, context)

    def predictions(self, options: PredictionOptions, build: Build) -> "tuple[Sequence[Prediction], Boot]":
        """A prediction for each case, as events, and the boot that they are of. Raises `FukiError`."""
        from fuki_build.measure.boot import Addon, Boot, BootMethod  # noqa: PLC0415 - most recipes predict nothing
        from fuki_build.measure.predict import labelled_cases, predict  # noqa: PLC0415
        from fuki_build.measure.section_digests import SectionDigests  # noqa: PLC0415

        banks = tuple(self.banks(options))
        addons = build.addons if options.addons else ()
        boot = Boot(
            method=BootMethod.DIRECT if options.direct else BootMethod.DISK,
            options=options.options,
            secure_boot=options.secure_boot,
            secret=options.boot_secret,
            addons=tuple(Addon(f"{addon.layout.name}.addon.efi", addon.layout, addon.assembly) for addon in addons),
        )

        layout = build.uki.layout
        contents = SectionDigests(layout, build.uki.assembly, banks)
        return predict(contents, labelled_cases(layout, build.machines), boot), boot

    def view(self, options: PredictionOptions, build: Build) -> "PredictionsView":
        """The same in plain values: registers by case and phase, in hex. Raises `FukiError`."""
        from fuki_build.measure.views import predictions_view  # noqa: PLC0415 - as above

        predictions, boot = self.predictions(options, build)
        phases = [split_phases(path, "phases") for path in options.phases]
        return predictions_view(build.uki.layout, predictions, phases, boot, options.pcrs)
