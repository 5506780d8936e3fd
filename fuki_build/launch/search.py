"""Why a report has another digest: which launch of images and firmware gives it, or comes nearest."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBootMode, Svsm
from fuki_build.launch.candidates import BootParts
from fuki_build.launch.search_views import LaunchSearchView
from fuki_build.launch.searcher import AskedLaunch, LaunchSearcher, MatchingLaunch
from fuki_build.recipe.launch import LaunchRequest, resolve_launch, values
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import LaunchTable


class DigestQuestion(Struct, frozen=True, kw_only=True):
    """A digest, the images and firmware files that it may be of, and which launches are expected.

    These are any of `asked`, or anything where that is empty; `technology` is the one of the report, where known.
    `boots` are direct boots of other files, `texts` command lines that a hypervisor may have passed beside the images'
    own; `svsm` is tried besides launches without it.
    """

    digest: bytes
    files: tuple[Path, ...]
    asked: tuple[AskedLaunch, ...] = ()
    technology: str | None = None
    boots: tuple[BootParts, ...] = ()
    texts: tuple[str, ...] = ()
    svsm: Svsm | None = None


def search_launches(host: PluginHost, question: DigestQuestion) -> LaunchSearchView:
    """Search what is asked for first; only if that does not have the digest, everything else that may have it.

    Raises `FukiError` for files that cannot be read, and where no loaded plugin knows launches.
    """
    searcher = LaunchSearcher(
        host=host,
        digest=question.digest,
        technology=question.technology,
        files=question.files,
        boots=question.boots,
        texts=question.texts,
        svsm=question.svsm,
    )
    asked = question.asked or (AskedLaunch(),)
    matching = [row for one in asked for row in searcher.rows(one)]
    others: list[MatchingLaunch] = []
    if not matching and AskedLaunch() not in asked:
        rows = searcher.rows(AskedLaunch())
        others = [_explained(searcher, row, asked) for row in rows]
    return searcher.view(matching, others or searcher.near)


def asked_launches(
    table: LaunchTable, requests: Sequence[LaunchRequest], *, direct_boot: bool = False
) -> tuple[AskedLaunch, ...]:
    """What options of the command line ask for: what they do not say may be anything, unless a platform says it.

    `direct_boot` tells whether the way to boot was asked for.
    """
    mode = table.direct_boot if direct_boot else None
    firmware = values(table.firmware)
    if not values(table.platform):
        asked = AskedLaunch(
            technologies=values(table.technology),
            firmware=firmware,
            vmms=values(table.vmm),
            vcpus=values(table.vcpus),
            cpu_models=values(table.vcpu_model),
            guest_features=values(table.guest_features),
            direct_boot=mode,
        )
        return (asked,)
    return tuple(
        replace(requested(request), firmware=firmware, guest_features=values(table.guest_features), direct_boot=mode)
        for request in requests
    )


def asked_of_recipe(host: PluginHost, recipe: LoadedRecipe) -> tuple[AskedLaunch, ...]:
    """What the `[[fuki.launch]]` tables of a recipe ask for; nothing, where it has none. Raises `RecipeError`."""
    tables = enumerate(recipe.recipe.launch)
    requests = (
        request
        for index, table in tables
        for request in resolve_launch(table, host, recipe.directory, f"fuki.launch[{index}]")
    )
    return tuple(requested(request) for request in requests)


def requested(request: LaunchRequest) -> AskedLaunch:
    """What a recipe's table asks for, with all that it leaves to defaults."""
    parameters = request.parameters
    return AskedLaunch(
        technologies=request.technologies,
        firmware=request.firmware,
        vmms=parameters.vmms,
        vcpus=parameters.vcpus,
        cpu_models=parameters.cpu_models,
        guest_features=parameters.guest_features,
        direct_boot=request.direct_boot,
    )


def _explained(searcher: LaunchSearcher, row: MatchingLaunch, asked: tuple[AskedLaunch, ...]) -> MatchingLaunch:
    """A launch with its change: in what it is not one that was asked for, held against that which is nearest."""
    differences = [(list(_differences(row, one)), one) for one in asked]
    words, nearest = min(differences, key=_count)
    step = searcher.departure(row, nearest)
    return replace(row, change="; ".join([*words, *([step] if step else [])]))


def _count(difference: tuple[list[str], AskedLaunch]) -> int:
    return len(difference[0])


def _differences(row: MatchingLaunch, asked: AskedLaunch) -> Iterator[str]:
    launch = row.launch
    if asked.technologies and launch.technology not in asked.technologies:
        yield f"technology {launch.technology} instead of {' or '.join(asked.technologies)}"
    if asked.firmware and row.firmware.firmware.name not in asked.firmware:
        yield f"firmware {row.firmware.firmware.name} instead of {' or '.join(asked.firmware)}"
    if asked.vmms and launch.vmm is not None and launch.vmm not in asked.vmms:
        yield f"hypervisor {launch.vmm} instead of {' or '.join(asked.vmms)}"
    if asked.vcpus and launch.vcpus is not None and launch.vcpus not in asked.vcpus:
        yield f"vCPUs {launch.vcpus} instead of {' or '.join(map(str, asked.vcpus))}"
    if asked.cpu_models and launch.cpu_model is not None and launch.cpu_model not in asked.cpu_models:
        yield f"vCPU model {launch.cpu_model} instead of {' or '.join(asked.cpu_models)}"
    features = launch.guest_features
    if asked.guest_features and features is not None and features not in asked.guest_features:
        names = " or ".join(f"{one:#x}" for one in asked.guest_features)
        yield f"guest features {features:#x} instead of {names}"
    if asked.direct_boot is not None and row.mode is not asked.direct_boot:
        yield f"direct boot {launch.boot or 'none'} instead of {_boot_in_words(asked.direct_boot)}"


def _boot_in_words(mode: DirectBootMode) -> str:
    return {
        DirectBootMode.NONE: "none",
        DirectBootMode.SECTIONS: "a profile's kernel, initrd and command line",
        DirectBootMode.IMAGE: "the image as the kernel",
    }[mode]
