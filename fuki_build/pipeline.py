"""The way through: recipe → image → layout → findings → file and digests → artifacts."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuki_build.builtin import igvm_output, outputs, platforms, predictions, rules, signers, sources, sysupdate
from fuki_build.checks.run import check, refuse_errors
from fuki_build.errors import FukiError, in_cell
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import SigningContext, SigningKey
from fuki_build.hooks.sources import FirmwareFile
from fuki_build.image.assemble import Progress
from fuki_build.image.blob import AnyPath
from fuki_build.image.digest_plan import ALL_DIGESTS, NO_DIGESTS, DigestNeeds
from fuki_build.image.guard import ReadFiles, guarding, note_read_later
from fuki_build.image.plan import plan as plan_image
from fuki_build.signing.request import signing_context

if TYPE_CHECKING:
    from fuki_build.emit.cells import CellOutcome
    from fuki_build.emit.plan import CellPlan, Plan, Result
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
    recipe: "AnyPath | LoadedRecipe | None" = None,
    plugins: Sequence[str] = (),
    *,
    unsigned: bool = False,
    offline_policies: bool = False,
    commands: bool = True,
) -> "Iterator[Plan]":
    """Plan a recipe: everything but the writing. What it yields can be built while the `with` lasts.

    `recipe` is one that has been loaded, a file, or a directory that holds one; `plugins` are loaded beside those that
    it names; `unsigned` leaves all signatures out, `offline_policies` those of policies. Without `commands`, a recipe
    that has programs of its choice run is an error, in the plan and in what is built of it. Raises `FukiError`;
    findings, even errors, are part of the plan.
    """
    from fuki_build.recipe.load import LoadedRecipe, load_recipe  # noqa: PLC0415 - images are read without recipes

    with guarding() as read:
        host = new_host(plugins)
        loaded = recipe if isinstance(recipe, LoadedRecipe) else load_recipe(recipe)
        with loaded.origins.named():
            host.load(loaded.recipe.plugins)
        with loaded.origins.named(), signing_context(loaded.directory, commands=commands) as signing:
            yield _plan(loaded, host, signing, read, {}, unsigned=unsigned, offline_policies=offline_policies)


def _plan(
    loaded: "LoadedRecipe",
    host: PluginHost,
    signing: SigningContext,
    read: ReadFiles,
    fetched: dict[Hashable, FirmwareFile],
    *,
    unsigned: bool,
    offline_policies: bool = False,
) -> "Plan":
    from fuki_build.emit.plan import Plan  # noqa: PLC0415 - verbs on finished images start without recipes
    from fuki_build.recipe.resolve import resolve  # noqa: PLC0415

    signing.withhold(loaded.recipe)
    resolved = resolve(loaded, host, signing, fetched, unsigned=unsigned, offline_policies=offline_policies)
    uki = plan_image(resolved.uki)
    addons = tuple(plan_image(addon) for addon in resolved.addons)
    findings = check(host, [uki, *addons], loaded.recipe.silence, resolved.expectations)
    return Plan(
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
def plan_cells(
    cells: "Sequence[LoadedRecipe]",
    plugins: Sequence[str] = (),
    *,
    unsigned: bool = False,
    previewed: bool = False,
    only: Sequence[str] = (),
    output: Path | None = None,
) -> "Iterator[Sequence[CellPlan]]":
    """Plan every cell of a matrix, as `plan` does; they share keys, and firmware that is fetched once.

    A cell that cannot be planned has the error in place of its plan; with `previewed`, one that could not be written
    with `only` and `output` as well. Then, two cells that would write one path raise `RecipeError`.
    """
    from fuki_build.emit.cell_paths import CellPaths  # noqa: PLC0415 - as above
    from fuki_build.emit.plan import CellPlan  # noqa: PLC0415 - as above

    hosts: dict[tuple[str, ...], PluginHost] = {}
    fetched: dict[Hashable, FirmwareFile] = {}
    paths = CellPaths()
    with guarding() as read, signing_context(cells[0].directory) as signing:
        plans = []
        for loaded in cells:
            try:
                with in_cell(loaded.cell_id), loaded.origins.named():
                    if loaded.recipe.plugins not in hosts:
                        host = new_host(plugins)
                        host.load(loaded.recipe.plugins)
                        hosts[loaded.recipe.plugins] = host
                    host = hosts[loaded.recipe.plugins]
                    planned = _plan(loaded, host, signing, read, fetched, unsigned=unsigned)
                    written = preview(planned, only=only, output=output).paths if previewed else ()
            except FukiError as error:
                plans.append(CellPlan(loaded=loaded, failure=error))
                continue
            paths.add(loaded, written)
            plans.append(CellPlan(loaded=loaded, plan=planned))
        yield plans


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
    output: AnyPath | None = None,
    progress: Progress | None = None,
    depfile: AnyPath | None = None,
    refuse: bool = True,
    digests: DigestNeeds = ALL_DIGESTS,
    edits: Path | None = None,
    keep_same: bool = False,
) -> "Result":
    """Write what was planned: all artifacts, or none.

    `only` limits the output formats, `output` is where the image goes. `depfile` is written with the artifacts, in
    Make's syntax: what they depend on. `digests` are those that the result is asked for, beside what the outputs
    declare; by default everything in SHA-256. `edits` is a file that was read and may be replaced all the same, because
    the user asked for it to be changed in its place. With `keep_same`, outputs whose content would stay the same are
    not replaced. Raises `CheckError` on findings that are errors, unless `refuse`
    is off, and `FukiError` for what goes wrong on the way.
    """
    from fuki_build.emit.write import write_outputs  # noqa: PLC0415 - planning starts without writing

    target = None if output is None else Path(output)
    dependencies = None if depfile is None else Path(depfile)
    outputs = [item.output for item in preview(planned, only=only, output=target, edits=edits).outputs]
    if refuse:
        refuse_errors(planned.findings)
    with guarding(planned.read):
        return write_outputs(planned, outputs, progress, dependencies, digests, edits, keep_same=keep_same)


def build_cells(  # noqa: PLR0913 - each is an option of its own
    plans: "Sequence[CellPlan]",
    *,
    only: Sequence[str] = (),
    output: Path | None = None,
    depfile: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    digests: DigestNeeds = NO_DIGESTS,
    keep_same: bool = False,
) -> "Iterator[CellOutcome]":
    """Write what was planned of a matrix: of each cell all artifacts, or none, whatever becomes of the others.

    What cells share is read once; `threads` images are written at a time. The outcomes come one after the other.
    Raises `RecipeError` before anything is written where two cells write one path.
    """
    from fuki_build.emit.cells import write_cells  # noqa: PLC0415 - as above

    yield from write_cells(
        plans,
        only=only,
        output=output,
        depfile=depfile,
        threads=threads,
        progress=progress,
        digests=digests,
        keep_same=keep_same,
    )


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
