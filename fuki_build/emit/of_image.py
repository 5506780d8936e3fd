"""Output formats about a finished image, as a command line asks for them: no recipe, and nothing is built."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from fuki_build.emit.outputs import Output
from fuki_build.emit.sites import OutputSite
from fuki_build.errors import RecipeError, located
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import LaunchRecord
from fuki_build.hooks.outputs import Build, BuiltImage, OutputFormat
from fuki_build.hooks.signers import SigningContext
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.output_files import OutputFiles
from fuki_build.image.profiles import read_assignments
from fuki_build.recipe.convert import keys
from fuki_build.recipe.model import OutputTable
from fuki_build.recipe.plugin_tables import read_plugin_table
from fuki_build.recipe.text import template_directory
from fuki_build.signing.secure_boot.boot import with_authorities

_FORMAT = "--format"


class ImageFacts(Struct, frozen=True, kw_only=True):
    """What is told about: a finished image, its addons' files, and what is known beside them."""

    path: Path
    layout: Layout
    addons: Sequence[Path] = ()
    machines: tuple[Machine, ...] = ()
    launches: tuple[LaunchRecord, ...] = ()


def read_format(host: PluginHost, name: str, options: Mapping[str, Any], places: Mapping[str, str]) -> Output:
    """The format that a command line names, with options by the names that they have in recipes.

    `places` tells the option of the command line that each came from. Raises `RecipeError` for a format that tells
    nothing about images, and at the place of an option that it has not.
    """
    with located(_FORMAT):
        contribution = host.output(name)
    kind = contribution.thing
    if kind.emit is OutputFormat.emit:
        hint = "a recipe's output of this format writes the image itself"
        raise RecipeError(f"the format {name} tells nothing about images", where=_FORMAT, hint=hint)

    known = keys(kind.Options)
    for key in options:
        if key not in known:
            hint = f"it has: {', '.join(known)}" if known else "it has no options"
            raise RecipeError(f"the format {name} has no option {key!r}", where=places[key], hint=hint)

    try:
        table = read_plugin_table({**options, "format": name}, "format", OutputTable, host.output, _FORMAT)
    except RecipeError as error:
        key = (error.where or "").removeprefix(f"{_FORMAT}.").partition(".")[0].partition("[")[0]
        error.where = places.get(key, error.where)
        missing = re.match(r"'([^']+)' is missing", error.message)
        if missing:
            error.hint = f"give it with --set {missing[1]}=…"
        raise
    return Output(
        format=kind(),
        contribution=contribution,
        options=table.options,
        path=Path(),
        where=_FORMAT,
        path_where="--output",
        images={},
        places=places,
    )


def tell_about(
    facts: ImageFacts, output: Output, host: PluginHost, signing: SigningContext, *, one_file: bool = False
) -> None:
    """Write what a format tells about a finished image to the output's path. Raises `FukiError`.

    With `one_file`, also for a format that writes more than that.
    """
    site = OutputSite(
        host=host,
        signing=signing,
        directory=signing.directory,
        template_directories=[signing.directory, *host.template_directories(), template_directory()],
    )
    with output.running():
        context = site.preview_context(output, facts.layout, launches=bool(facts.launches))
        files = output.format.preview(output.options, context)
    if one_file and (len(files) != 1 or files[0].many):
        hint = "name a directory with --output"
        raise RecipeError(f"the format {output.format.name} writes several files", where="--output", hint=hint)
    with output.running():
        build = _build(facts, output, host, signing)

    with OutputFiles() as new:

        def open_file(path: Path) -> OutputFile:
            with located(output.path_where, RecipeError):
                return new.open(path)

        with output.running():
            output.format.emit(output.options, build, site.output_context(output, open_file, []))
        new.commit()


def _build(facts: ImageFacts, output: Output, host: PluginHost, signing: SigningContext) -> Build:
    release = next((read_assignments(s) for s in facts.layout.plain_sections if s.name == ".osrel"), {})
    return Build(
        name=facts.path.name.removesuffix(".efi"),
        version=release.get("IMAGE_VERSION", ""),
        variables={},
        uki=_read(facts.path, facts.layout, output),
        addons=tuple(_read(path, inspect(path), output) for path in facts.addons),
        inputs=(),
        tools=host.versions(),
        findings=(),
        firmware_origins={},
        machines=facts.machines,
        launches=facts.launches,
        directory=signing.directory,
        authorized=with_authorities,
    )


def _read(path: Path, layout: Layout, output: Output) -> BuiltImage:
    """One read of the image, for the digests that the format declares."""
    needs = output.format.digests(output.options) | measured_in(output.format.banks(output.options))
    return BuiltImage(layout, assemble(layout, digests=needs), path)
