"""Asking each launch model for a digest, over all firmware and boots that there are to try."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FukiError, PluginError, RecipeError
from fuki_build.hooks.host import Contribution, PluginHost
from fuki_build.hooks.launch import DirectBootMode, LaunchDigest, LaunchModel, LaunchParameters, LaunchSearch, Svsm
from fuki_build.launch.candidates import (
    BootParts,
    FirmwareForm,
    SearchedBoot,
    SearchedFirmware,
    image_parts,
    searched_boots,
    searched_firmware,
)
from fuki_build.launch.search_views import (
    LaunchSearchView,
    SearchedLaunchView,
    SearchSpaceView,
    TriedView,
    numbers_in_words,
)
from fuki_build.launch.steps import first_difference, step_in_words
from fuki_build.recipe.launch import MAX_FIRMWARE, models

T = TypeVar("T")
VCPUS = tuple(range(1, 513))
"""Numbers of vCPUs that are searched where none are named."""
_SVSM_VMM = "qemu"
_NO_FIRMWARE = "there is no firmware in the images: name the file of the firmware that guests start with"
_GIVEN, _OTHER = (FirmwareForm.GIVEN,), (FirmwareForm.UNWRAPPED, FirmwareForm.WRAPPED)


class AskedLaunch(Struct, frozen=True, kw_only=True):
    """What a launch is expected to be; what is empty, or None, may be anything."""

    technologies: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    vmms: tuple[str, ...] = ()
    vcpus: tuple[int, ...] = ()
    cpu_models: tuple[str, ...] = ()
    guest_features: tuple[int, ...] = ()
    direct_boot: DirectBootMode | None = None


class MatchingLaunch(Struct, frozen=True, kw_only=True):
    """A launch that has the digest, with `change` to it where that is not empty; `mode` tells what is booted."""

    firmware: SearchedFirmware
    sha256: str
    launch: LaunchDigest
    mode: DirectBootMode | None
    change: str = ""


class LaunchSearcher:
    """One search: what there is to try, and what was tried. `near` grows meanwhile."""

    def __init__(
        self,
        *,
        host: PluginHost,
        digest: bytes,
        technology: str | None,
        files: Sequence[Path],
        boots: Sequence[BootParts],
        texts: Sequence[str],
        svsm: Svsm | None,
    ) -> None:
        self._known = models(host, "--expect")
        if technology is not None:
            self._check(technology)
        self._models = {name: model for name, model in self._known.items() if technology in (None, name)}
        self._digest = digest
        self._files = files
        self._given = boots
        self._texts = texts
        self._svsm = svsm
        self._asked: list[LaunchParameters] = []
        self._tried: dict[str, TriedView] = {}
        self._notes: dict[str, None] = {}
        self.near: list[MatchingLaunch] = []

    @cached_property
    def _firmware(self) -> Mapping[bytes, tuple[SearchedFirmware, bytes]]:
        """Each distinct firmware with its content, by its digest: images often have the same one."""
        distinct: dict[bytes, tuple[SearchedFirmware, bytes]] = {}
        for file in self._files:
            for one in searched_firmware(file):
                content = one.firmware.content.read_small(MAX_FIRMWARE, f"the firmware {one.firmware.name}")
                distinct.setdefault(hashlib.sha256(content).digest(), (one, content))

        if not distinct:
            self._notes[_NO_FIRMWARE] = None
        return distinct

    @cached_property
    def _boots(self) -> Sequence[SearchedBoot]:
        of_images = (parts for file in self._files for parts in image_parts(file))
        return searched_boots([*self._given, *of_images], self._texts)

    def rows(self, asked: AskedLaunch) -> Iterator[MatchingLaunch]:
        """The launches that are as asked for and have the digest. Raises `FukiError`."""
        for name in asked.technologies:
            self._check(name)

        for forms in (_GIVEN, _OTHER):
            has_any = False
            for row in self._of_forms(asked, forms):
                has_any = True
                yield row
            # The other form of some firmware is only a guess.
            if has_any:
                return

    def _of_forms(self, asked: AskedLaunch, forms: Collection[FirmwareForm]) -> Iterator[MatchingLaunch]:
        for name, model in self._models.items():
            if asked.technologies and name not in asked.technologies:
                continue
            for sha256, (one, content) in self._firmware.items():
                if one.form in forms and (not asked.firmware or one.firmware.name in asked.firmware):
                    for parameters in self._parameters(model, asked):
                        yield from self._search(model, one, sha256.hex(), content, parameters)

    def _check(self, technology: str) -> None:
        if technology not in self._known:
            hint = f"there are: {', '.join(self._known)}"
            raise RecipeError(f"no plugin predicts {technology!r}", where="--technology", hint=hint)

    def _parameters(self, model: Contribution[LaunchModel], asked: AskedLaunch) -> Iterator[LaunchParameters]:
        """What a model is asked for: launches without an SVSM, then those with the one that was given."""
        known = model.thing.vmms
        vmms = tuple(vmm for vmm in asked.vmms or known if vmm in known)
        if not vmms:
            return
        parameters = LaunchParameters(
            vmms=vmms,
            vcpus=asked.vcpus or VCPUS,
            cpu_models=asked.cpu_models,
            guest_features=asked.guest_features or model.thing.usual_features,
            boots=tuple(one.boot for one in self._boots if asked.direct_boot in (None, one.mode)),
        )
        if not parameters.boots:
            return
        self._asked.append(parameters)
        yield parameters
        if self._svsm is not None and _SVSM_VMM in vmms and None in parameters.boots:
            yield replace(parameters, vmms=(_SVSM_VMM,), boots=(None,), svsm=self._svsm)

    def _search(
        self,
        model: Contribution[LaunchModel],
        one: SearchedFirmware,
        sha256: str,
        content: bytes,
        parameters: LaunchParameters,
    ) -> Iterator[MatchingLaunch]:
        name = model.thing.name
        subject = f"{one.firmware.name} {one.form}, {name}"
        try:
            with model.running():
                search = model.thing.search(content, parameters, self._digest)
        except (PluginError, RecipeError):
            raise
        # What some firmware cannot do is one of the things that were tried.
        except FukiError as error:
            self._notes[f"{subject}: {error.message}"] = None
            return

        if search is None:
            return
        self._count(name, search)
        # The other form of what was given is only a guess, whose limits matter to nobody.
        if one.form is FirmwareForm.GIVEN:
            self._notes |= dict.fromkeys(f"{subject}: {note.message}" for note in search.notes)
        modes = {one_of.boot.name: one_of.mode for one_of in self._boots if one_of.boot is not None}

        def row(launch: LaunchDigest, change: str = "") -> MatchingLaunch:
            mode = DirectBootMode.NONE if launch.boot is None else modes.get(launch.boot)
            return MatchingLaunch(firmware=one, sha256=sha256, launch=launch, mode=mode, change=change)

        self.near += (row(near.launch, near.change) for near in search.near)
        yield from map(row, search.found)

    def _count(self, name: str, search: LaunchSearch) -> None:
        before = self._tried.get(name, TriedView(technology=name, launches=0, changed=0))
        self._tried[name] = TriedView(
            technology=name, launches=before.launches + search.tried, changed=before.changed + search.changed
        )

    def departure(self, row: MatchingLaunch, asked: AskedLaunch) -> str:
        """Up to where a launch equals the one that was asked for, in words; empty where there are several such."""
        real = self._parameters_of(row.launch)
        expected = self._nearest(asked, real)
        content = self._firmware[bytes.fromhex(row.sha256)][1]
        firmware = self._contents(asked.firmware) or [content]
        varied = (expected.vmms, expected.vcpus, expected.boots, expected.guest_features, firmware)
        if any(len(values) > 1 for values in varied) or row.launch.variant is not None:
            return ""

        model = self._models[row.launch.technology]
        with model.running():
            try:
                left = list(model.thing.steps(firmware[0], expected))
                right = list(model.thing.steps(content, real))
            # What was asked for may be what the firmware cannot do.
            except FukiError:
                return ""

        difference = first_difference(left, right)
        if difference is None:
            return ""
        number, *steps = difference
        wanted, measured = map(step_in_words, steps)
        return f"the same up to step {number}, where {wanted} is expected, and was measured {measured}"

    def _parameters_of(self, launch: LaunchDigest) -> LaunchParameters:
        """One value of each parameter: those of a launch that was found."""
        boots = {one.boot.name: one.boot for one in self._boots if one.boot is not None}
        return LaunchParameters(
            vmms=(launch.vmm or "qemu",),
            vcpus=(launch.vcpus or 1,),
            cpu_models=(launch.cpu_model,) if launch.cpu_model else (),
            guest_features=(1 if launch.guest_features is None else launch.guest_features,),
            boots=(boots[launch.boot] if launch.boot else None,),
        )

    def _nearest(self, asked: AskedLaunch, real: LaunchParameters) -> LaunchParameters:
        """What was asked for, where it is not what a launch has."""
        mode = asked.direct_boot
        boots = () if mode is None else tuple(one.boot for one in self._boots if one.mode is mode)
        return LaunchParameters(
            vmms=_asked(asked.vmms, real.vmms),
            vcpus=_asked(asked.vcpus, real.vcpus),
            cpu_models=_asked(asked.cpu_models, real.cpu_models),
            guest_features=_asked(asked.guest_features, real.guest_features),
            boots=_asked(boots, real.boots),
        )

    def _contents(self, names: Sequence[str]) -> list[bytes]:
        return [
            content
            for one, content in self._firmware.values()
            if one.form is FirmwareForm.GIVEN and one.firmware.name in names
        ]

    def view(self, matching: Sequence[MatchingLaunch], near: Sequence[MatchingLaunch]) -> LaunchSearchView:
        """What was found, and what was tried for it."""
        asked = self._asked
        boots = [one.boot.name if one.boot is not None else "none" for one in self._boots]
        return LaunchSearchView(
            expected=self._digest.hex(),
            found=tuple(map(_view, matching)),
            near=() if matching else tuple(map(_view, near)),
            tried=tuple(tried for tried in self._tried.values() if tried.launches),
            space=SearchSpaceView(
                firmware=tuple(_firmware_words(one) for one, _ in self._firmware.values()),
                vmms=tuple(dict.fromkeys(vmm for one in asked for vmm in one.vmms)),
                vcpus=numbers_in_words([count for one in asked for count in one.vcpus]),
                guest_features=tuple(sorted({features for one in asked for features in one.guest_features})),
                boots=tuple(boots),
            ),
            notes=() if matching else tuple(self._notes),
        )


def _asked(asked: tuple[T, ...], real: tuple[T, ...]) -> tuple[T, ...]:
    """What was asked for of a parameter, unless that may be anything, or has the real value among it."""
    return asked if any(value not in asked for value in real) and asked else real


def _firmware_words(one: SearchedFirmware) -> str:
    name = one.firmware.name
    return f"{name if name == one.file else f'{name} of {one.file}'} {one.form}"


def _view(row: MatchingLaunch) -> SearchedLaunchView:
    launch = row.launch
    return SearchedLaunchView(
        file=row.firmware.file,
        firmware=row.firmware.firmware.name,
        profile=row.firmware.firmware.profile,
        form=row.firmware.form.value,
        firmware_sha256=row.sha256,
        technology=launch.technology,
        register=launch.register,
        algorithm=launch.algorithm,
        vmm=launch.vmm,
        vcpus=launch.vcpus,
        cpu_model=launch.cpu_model,
        guest_features=launch.guest_features,
        boot=launch.boot,
        variant=launch.variant,
        change=row.change,
    )
