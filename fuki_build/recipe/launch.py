"""`[[fuki.launch]]` tables, and the command line's options: which launches to predict."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import RecipeError, located, raised_as
from fuki_build.hooks.host import Contribution, PluginHost
from fuki_build.hooks.launch import DirectBootMode, LaunchModel, LaunchParameters, LaunchSite, Svsm
from fuki_build.image.blob import Blob
from fuki_build.recipe.model import LaunchTable

MAX_FIRMWARE = 64 * 1024 * 1024
"""Bytes of a firmware image that is launched."""
T = TypeVar("T", str, int)
_NO_MODELS = "no loaded plugin predicts launch measurements"
_NO_MODELS_HINT = "load one: 'fuki --plugin coco launch …', or plugins = [\"coco\"] in the recipe"


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """What one table asks for; boots are added for each firmware. No `technologies` or `firmware` means all.

    `named` technologies were asked for by the user, not by a platform: what cannot do them is an error.
    """

    technologies: tuple[str, ...]
    firmware: tuple[str, ...]
    parameters: LaunchParameters
    direct_boot: DirectBootMode
    policy: int | None
    where: str
    named: bool
    boot_secret: bool = True
    notes: tuple[str, ...] = ()


def resolve_launch(
    table: LaunchTable, host: PluginHost, directory: Path, where: str, dependencies: list[Path] | None = None
) -> tuple[LaunchRequest, ...]:
    """One request, or one for each kind of guest that the table's platforms launch. Raises `RecipeError`.

    Files that are read are added to `dependencies`.
    """
    if table.svsm is not None and dependencies is not None:
        dependencies.append(directory / table.svsm)

    known = models(host, where)
    for index, name in enumerate(values(table.technology)):
        if name not in known:
            hint = f"there are: {', '.join(known)}"
            raise RecipeError(f"no plugin predicts {name!r}", where=f"{where}.technology[{index}]", hint=hint)

    _check_vmms(values(table.vmm), known, where)
    request = LaunchRequest(
        technologies=values(table.technology),
        firmware=values(table.firmware),
        parameters=LaunchParameters(
            vmms=values(table.vmm) or ("qemu",),
            vcpus=values(table.vcpus) or (1,),
            cpu_models=values(table.vcpu_model),
            guest_features=values(table.guest_features) or (1,),
            svsm=_svsm(table, directory, where),
        ),
        direct_boot=table.direct_boot,
        policy=table.policy,
        where=where,
        named=bool(table.technology),
        boot_secret=table.boot_secret,
    )

    if not table.platform:
        return (request,)
    if table.vmm:
        raise RecipeError("a platform has its own hypervisor", where=f"{where}.vmm", hint="leave out one of the two")

    sites = [site for name in values(table.platform) for site in _sites(name, host, f"{where}.platform")]
    requests = tuple(_on_platform(request, table, sites))
    if not requests:
        guests = " or ".join(request.technologies) or "confidential"
        text = f"{', '.join(values(table.platform))} launches no {guests} guests"
        raise RecipeError(text, where=f"{where}.platform", hint=next((site.note for site in sites if site.note), None))
    return requests


def models(host: PluginHost, where: str | None = None) -> Mapping[str, Contribution[LaunchModel]]:
    """The loaded launch models by name. Raises `RecipeError` where there are none."""
    models_by_name = {name: host.get("fuki_launch_models", name) for name in host.names("fuki_launch_models")}
    if not models_by_name:
        raise RecipeError(_NO_MODELS, where=where, hint=_NO_MODELS_HINT)
    return models_by_name


def _check_vmms(names: Sequence[str], known: Mapping[str, Contribution[LaunchModel]], where: str) -> None:
    vmms: dict[str, None] = {}
    for model in known.values():
        with model.running():
            vmms |= dict.fromkeys(model.thing.vmms)
    for index, name in enumerate(names):
        if name not in vmms:
            hint = f"there are: {', '.join(vmms)}"
            raise RecipeError(f"no plugin knows how {name!r} launches guests", where=f"{where}.vmm[{index}]", hint=hint)


def values(value: T | tuple[T, ...]) -> tuple[T, ...]:
    """One value, or several, of a table's key."""
    return value if isinstance(value, tuple) else (value,)


def _svsm(table: LaunchTable, directory: Path, where: str) -> Svsm | None:

    if table.svsm is None:
        return None
    place = f"{where}.svsm"
    if table.variables_size is None:
        raise RecipeError("an SVSM stands below the variable store", where=place, hint="give variables-size as well")
    with raised_as(RecipeError, place):
        image = Blob.of_file(directory / table.svsm).read_small(MAX_FIRMWARE, "the SVSM")
    return Svsm(image, table.variables_size)


def _sites(text: str, host: PluginHost, where: str) -> Sequence[LaunchSite]:
    name, colon, selector = text.partition(":")
    with located(where):
        platform = host.platform(name)
        with platform.running():
            sites = platform.thing.launch_sites(selector if colon else None)
    if not sites:
        hint = "name technology, vmm, vcpus and vcpu-model instead"
        raise RecipeError(f"how {text} launches confidential guests is not known", where=where, hint=hint)
    return sites


def _on_platform(request: LaunchRequest, table: LaunchTable, sites: Sequence[LaunchSite]) -> Iterator[LaunchRequest]:
    """A request for each hypervisor and set of technologies, with all numbers of vCPUs that occur there."""
    groups: dict[tuple[str, tuple[str, ...]], list[LaunchSite]] = {}
    for site in sites:
        technologies = tuple(t for t in site.technologies if t in (request.technologies or site.technologies))
        groups.setdefault((site.vmm, technologies), []).append(site)

    for (vmm, technologies), members in groups.items():
        if not technologies:
            continue
        counts = tuple(sorted({site.vcpus for site in members if site.vcpus is not None}))
        processors = tuple(dict.fromkeys(site.cpu_model for site in members if site.cpu_model is not None))
        parameters = replace(
            request.parameters,
            vmms=(vmm,),
            vcpus=request.parameters.vcpus if table.vcpus or not counts else counts,
            cpu_models=request.parameters.cpu_models or processors,
        )
        notes = tuple(dict.fromkeys(f"{site.name}: {site.note}" for site in members if site.note))
        yield replace(request, technologies=technologies, parameters=parameters, notes=notes)
