"""What output formats that tell of launches have in common: options, and which launches these leave."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from fuki_build.errors import RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.launch import LaunchDigest, LaunchRecord
from fuki_build.hooks.options import Options
from fuki_build.hooks.outputs import Build, OutputFormat, PlannedFile, PreviewContext
from fuki_build.hooks.prediction_options import named
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import chosen_profiles, profile_ids


class LaunchOptions(Options, frozen=True, kw_only=True):
    """Which of the launches are told of; a format's own options derive from it. `fuki launch` has the same."""

    profiles: Annotated[tuple[str, ...], Meta(description="only of these profiles, by number or id")] = ()
    firmware: Annotated[tuple[str, ...], Meta(description="only with such firmware: fwids, with wildcards")] = ()
    machines: Annotated[
        tuple[str, ...],
        Meta(description="only with what such machines select: names of the recipe's and the platforms', wildcards"),
    ] = ()


class LaunchFilter:
    """Which firmware of an image, and which digests of its launches, are asked for.

    `profiles` are numbers or ids, `firmware` patterns of fwids; of `machines`, None is for any. Raises `RecipeError`
    for a profile that is not there.
    """

    def __init__(
        self,
        layout: Layout,
        profiles: Sequence[str],
        firmware: Sequence[str],
        machines: Sequence[Machine] | None,
    ) -> None:
        with named("profiles"):
            numbers = chosen_profiles(layout, profiles)
        self._numbers = frozenset(numbers)
        self._firmware = firmware
        self._selected = None if machines is None else frozenset(_selected(layout, machines, numbers))
        self._other_boots = frozenset(_boots(layout, set(layout.profiles) - self._numbers)) - frozenset(
            _boots(layout, self._numbers)
        )

    def keeps(self, fwid: str, profile: int | None) -> bool:
        """Whether launches with this firmware of a profile, or of the base, are asked for."""
        from fuki_build.measure.predict import fits_firmware  # noqa: PLC0415 - measuring is slow to load

        of_profile = profile is None or profile in self._numbers
        fits = not self._firmware or fits_firmware(fwid, self._firmware)
        return of_profile and fits and (self._selected is None or (fwid, profile) in self._selected)

    def records(self, records: Sequence[LaunchRecord]) -> tuple[LaunchRecord, ...]:
        """Those that are asked for, with the digests of boots of the profiles. Raises `RecipeError` for none."""
        kept = tuple(self._kept(record) for record in records if self.keeps(record.firmware, record.profile))
        if records and not kept:
            names = ", ".join(dict.fromkeys(record.firmware for record in records))
            raise RecipeError("no launch is left of those that there are", hint=f"firmware of them: {names}")
        return kept

    def _kept(self, record: LaunchRecord) -> LaunchRecord:
        digests = tuple(digest for digest in record.prediction.digests if self._is_of_profiles(digest))
        return replace(record, prediction=replace(record.prediction, digests=digests))

    def _is_of_profiles(self, digest: LaunchDigest) -> bool:
        return digest.boot is None or digest.boot not in self._other_boots


def _selected(
    layout: Layout, machines: Sequence[Machine], profiles: Sequence[int | None]
) -> Iterator[tuple[str, int | None]]:
    """The firmware that machines select in profiles, with the slice that each is of."""
    from fuki_build.measure.predict import cases  # noqa: PLC0415 - as above

    for case in cases(layout, machines, profiles):
        for section in case.measured if case.firmware is not None else ():
            if section.name == ".efifw":
                yield case.firmware or "", section.profile


def _boots(layout: Layout, profiles: set[int] | frozenset[int | None]) -> Iterator[str]:
    """What digests call the boots of these profiles."""
    ids = profile_ids(layout)
    for number in profiles:
        if number is not None:
            yield ids.get(number) or str(number)
            yield from (f"{way}@{number}" for way in ("disk", "image"))


class LaunchFormat(OutputFormat):
    r"""An output format about launches: those of the recipe's `[[fuki.launch]]`, or of a finished image.

    >>> class Digests(LaunchFormat):
    ...     name = "digests"
    ...     Options = LaunchOptions
    ...     def emit(self, options, build, context):
    ...         records = self.launches(options, build)
    ...         lines = [digest.digest for record in records for digest in record.prediction.digests]
    ...         context.write(context.path, "\n".join(lines).encode())
    >>> Digests.Options(firmware=("ovmf*",)).profiles
    ()
    """

    Options: ClassVar[type[LaunchOptions]] = LaunchOptions

    def preview(self, options: Any, context: PreviewContext) -> Sequence[PlannedFile]:  # noqa: ANN401
        if not context.launches:
            raise _no_launches()
        with named("profiles"):
            chosen_profiles(context.uki, options.profiles)
        return super().preview(options, context)

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        """None: fuki itself declares those that launches take."""
        return NO_DIGESTS

    def launches(self, options: LaunchOptions, build: Build) -> Sequence[LaunchRecord]:
        """The launches that the options leave. Raises `RecipeError` where there are none."""
        if not build.launches:
            raise _no_launches()
        machines = None
        if options.machines:
            fitting = [m for m in build.machines if any(fnmatchcase(m.name, text) for text in options.machines)]
            if not fitting:
                hint = f"there are: {', '.join(dict.fromkeys(m.name for m in build.machines)) or 'none'}"
                patterns = " or ".join(map(repr, options.machines))
                raise RecipeError(f"there is no machine {patterns}", where="machines", hint=hint)
            machines = fitting
        chosen = LaunchFilter(build.uki.layout, options.profiles, options.firmware, machines)
        return chosen.records(build.launches)


def _no_launches() -> RecipeError:
    hint = "a recipe needs a [[fuki.launch]] table and firmware; of an image, 'fuki launch IMAGE --format' tells"
    return RecipeError("there are no launches to tell about", hint=hint)
