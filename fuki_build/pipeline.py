"""The way through: recipe → image → layout → findings → file and digests → artifacts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuki_build.builtin import igvm_output, outputs, platforms, predictions, rules, signers, sources, sysupdate
from fuki_build.checks.run import check, refuse_errors
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import SigningKey
from fuki_build.image import layout
from fuki_build.image.assemble import Progress
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds
from fuki_build.image.guard import guarding, note_read_later
from fuki_build.signing.request import signing_context

if TYPE_CHECKING:
    from fuki_build.emit.plan import Plan, Result
    from fuki_build.emit.preview import Preview
    from fuki_build.recipe.load import LoadedRecipe

BUILTINS = (igvm_output, outputs, platforms, predictions, rules, signers, sources, sysupdate)


def new_host(plugins: Sequence[str] = ()) -> PluginHost:
    """A plugin host with the built-ins, and with plugins that the command line names."""
    host = PluginHost(BUILTINS)
    host.load(plugins, "--plugin")
    note_read_later(host.module_files)
    return host


@contextmanager
def plan(
    recipe: "Path | LoadedRecipe | None" = None,
    plugins: Sequence[str] = (),
    *,
    unsigned: bool = False,
    offline_policies: bool = False,
) -> "Iterator[Plan]":
    """Plan a recipe: everything but the writing. What it yields can be built while the `with` lasts.

    `recipe` is one that has been loaded, a file, or a directory that holds one; `plugins` are loaded beside those that
    it names; `unsigned` leaves all signatures out, `offline_policies` those of policies. Raises `FukiError`; findings,
    even errors, are part of the plan.
    """
    from fuki_build.emit.plan import Plan  # noqa: PLC0415 - verbs on finished images start without recipes
    from fuki_build.recipe.load import LoadedRecipe, load_recipe  # noqa: PLC0415
    from fuki_build.recipe.resolve import resolve  # noqa: PLC0415

    with guarding() as read:
        host = new_host(plugins)
        loaded = recipe if isinstance(recipe, LoadedRecipe) else load_recipe(recipe)
        with loaded.origins.named():
            host.load(loaded.recipe.plugins)
        with loaded.origins.named(), signing_context(loaded.directory) as signing:
            signing.withhold(loaded.recipe)
            resolved = resolve(loaded, host, signing, unsigned=unsigned, offline_policies=offline_policies)
            uki = layout.plan(resolved.uki)
            addons = tuple(layout.plan(addon) for addon in resolved.addons)
            findings = check(host, [uki, *addons], loaded.recipe.silence, resolved.expectations)
            yield Plan(
                loaded=loaded,
                host=host,
                resolved=resolved,
                uki=uki,
                addons=addons,
                findings=findings,
                signing=signing,
                unsigned=unsigned,
                offline_policies=unsigned or offline_policies,
                read=read,
            )


@contextmanager
def signing_key(table: Mapping[str, Any], plugins: Sequence[str] = (), where: str = "key") -> Iterator[SigningKey]:
    """The key that `table` names (`backend`, and its options), for as long as the `with` lasts.

    Paths in it are relative to the current directory. Raises `FukiError` at `where`.
    """
    from fuki_build.emit.keys import open_key  # noqa: PLC0415 - as above

    host = new_host(plugins)
    with signing_context(Path()) as context:
        yield open_key(table, host, context, where)


def build(  # noqa: PLR0913 - each is an option of its own
    planned: "Plan",
    *,
    only: Sequence[str] = (),
    output: Path | None = None,
    progress: Progress | None = None,
    depfile: Path | None = None,
    refuse: bool = True,
    digests: DigestNeeds = ALL_DIGESTS,
    edits: Path | None = None,
) -> "Result":
    """Write what was planned: all artifacts, or none.

    `only` limits the output formats, `output` is where the image goes. `depfile` is written with the artifacts, in
    Make's syntax: what they depend on. `digests` are those that the result is asked for, beside what the outputs
    declare; by default everything in SHA-256. `edits` is a file that was read and may be replaced all the same, because
    the user asked for it to be changed in its place. Raises `CheckError` on findings that are errors, unless `refuse`
    is off, and `FukiError` for what goes wrong on the way.
    """
    from fuki_build.emit.write import write_outputs  # noqa: PLC0415 - planning starts without writing

    outputs = [item.output for item in preview(planned, only=only, output=output, edits=edits).outputs]
    if refuse:
        refuse_errors(planned.findings)
    with guarding(planned.read):
        return write_outputs(planned, outputs, progress, depfile, digests, edits)


def preview(
    planned: "Plan", *, only: Sequence[str] = (), output: Path | None = None, edits: Path | None = None
) -> "Preview":
    """What `build` with these arguments would write, and who would sign it.

    Raises `FukiError` for all that `build` would refuse, as far as that can be known without opening a key.
    """
    from fuki_build.emit.outputs import choose_outputs  # noqa: PLC0415 - planning starts without writing
    from fuki_build.emit.preview import preview_outputs  # noqa: PLC0415

    with guarding(planned.read):
        return preview_outputs(planned, choose_outputs(planned, only, output), edits)
