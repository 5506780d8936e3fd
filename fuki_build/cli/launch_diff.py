"""`fuki launch --diff`: the first thing in which two launches differ."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click
from msgspec.structs import replace

from fuki_build.errors import FukiError, MismatchError, PluginError, RecipeError
from fuki_build.formats.documents import Document, View
from fuki_build.hooks.host import Contribution, PluginHost
from fuki_build.hooks.launch import LaunchModel, LaunchParameters, LaunchStep
from fuki_build.launch.boots import LaunchFirmware, ProfileBoot, boots_of
from fuki_build.launch.steps import first_difference
from fuki_build.recipe.launch import MAX_FIRMWARE, LaunchRequest, models

_VARIED = ("vmms", "vcpus", "cpu_models", "guest_features", "boots")


class StepView(View, frozen=True):
    """One thing that a launch measures: `address` in the guest's memory, `content` a digest in hex or empty."""

    part: str
    kind: str
    address: int
    content: str

    @classmethod
    def of(cls, step: LaunchStep | None) -> "StepView | None":
        return None if step is None else cls(*step)


class DifferenceView(View, frozen=True, kw_only=True):
    """The first step in which two launches differ under a technology, counted from 0; null where they are equal.

    A side that has no more steps is null.
    """

    technology: str
    equal: bool
    step: int | None
    left: StepView | None
    right: StepView | None


class DifferencesDocument(Document, frozen=True):
    """What `fuki launch --diff --json` prints."""

    differences: tuple[DifferenceView, ...]


class Side(NamedTuple):
    """One of two launches: the firmware, and parameters with one value each."""

    name: str
    content: bytes
    parameters: LaunchParameters


def compare(
    host: PluginHost,
    requests: Sequence[LaunchRequest],
    targets: Sequence[tuple[LaunchFirmware, Sequence[ProfileBoot]]],
    *,
    as_json: bool,
) -> None:
    """Print where two launches first differ, for each technology that both can do.

    The two are those of two firmware images, or of one with two values of a single option. Raises `MismatchError` if
    they differ.
    """
    if len(requests) != 1:
        raise RecipeError("--diff compares launches of one kind", hint="name one platform selector, or a VMM")

    left, right = _sides(requests[0].parameters, targets)
    technologies = requests[0].technologies
    differences = tuple(
        difference
        for name, model in models(host).items()
        if not technologies or name in technologies
        for difference in _differences(model, left, right, named=requests[0].named)
    )
    if not differences:
        raise FukiError("no technology launches both of them", hint="'fuki firmware show' tells what each has")

    _show(differences, as_json)
    different = [difference.technology for difference in differences if not difference.equal]
    if different:
        raise MismatchError(f"{left.name} and {right.name} differ under {', '.join(different)}")


def _sides(
    parameters: LaunchParameters, targets: Sequence[tuple[LaunchFirmware, Sequence[ProfileBoot]]]
) -> tuple[Side, Side]:
    sides = []
    for subject, boots in targets:
        content = subject.content.read_small(MAX_FIRMWARE, f"the firmware {subject.name}")
        sides.append(Side(subject.name, content, replace(parameters, boots=boots_of(subject, boots))))

    if len(sides) == 2:
        return sides[0], sides[1]
    if len(sides) != 1:
        hint = "choose one of an image's with --firmware"
        raise click.UsageError(f"--diff compares two firmware images, there are {len(sides)}; {hint}.")

    varied = [name for name in _VARIED if len(getattr(sides[0].parameters, name)) > 1]
    if len(varied) != 1 or len(getattr(sides[0].parameters, varied[0])) != 2:
        raise click.UsageError("--diff of one firmware image needs one option with two values.")

    values = getattr(sides[0].parameters, varied[0])
    left, right = (
        Side(f"{sides[0].name} ({_word(value)})", sides[0].content, _with(sides[0].parameters, varied[0], value))
        for value in values
    )
    return left, right


def _with(parameters: LaunchParameters, name: str, value: Any) -> LaunchParameters:  # noqa: ANN401 - any of the fields
    return replace(parameters, **{name: (value,)})


def _word(value: Any) -> str:  # noqa: ANN401 - a parameter's value
    return str(getattr(value, "name", value))


def _differences(model: Contribution[LaunchModel], left: Side, right: Side, *, named: bool) -> Iterator[DifferenceView]:
    """The first difference, if the technology can launch both; what was named must be able to."""
    try:
        difference = first_difference(_steps(model, left), _steps(model, right))
    except (PluginError, RecipeError):
        raise
    except FukiError as error:
        if named:
            error.at(model.thing.name)
            raise
        return
    number, left_step, right_step = difference or (None, None, None)
    yield DifferenceView(
        technology=model.thing.name,
        equal=difference is None,
        step=number,
        left=StepView.of(left_step),
        right=StepView.of(right_step),
    )


def _steps(model: Contribution[LaunchModel], side: Side) -> list[LaunchStep]:
    with model.running():
        if model.thing.predict(side.content, side.parameters) is None:
            raise FukiError(f"{side.name} is not made for {model.thing.title}")
        return list(model.thing.steps(side.content, side.parameters))


def _show(differences: tuple[DifferenceView, ...], as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(DifferencesDocument(differences))
        return
    from fuki_build.cli.render.launch import show_differences  # noqa: PLC0415

    show_differences(differences)
