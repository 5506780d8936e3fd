"""`fuki release`: whether an image may follow another one, what to learn before, and what to revoke after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.cli.comparing import Comparison, comparison_options
from fuki_build.cli.launch_options import launch_options
from fuki_build.cli.options import json_option
from fuki_build.cli.render.plain import tell
from fuki_build.cli.selecting import start_options
from fuki_build.cli.signer_options import signer_options
from fuki_build.errors import MismatchError, RecipeError, did_you_mean
from fuki_build.hooks.host import PluginHost
from fuki_build.image.inspect import inspect
from fuki_build.image.output_files import OutputFiles
from fuki_build.recipe.model import LaunchTable

if TYPE_CHECKING:
    from fuki_build.formats.documents import Document
    from fuki_build.recipe.launch import LaunchRequest
    from fuki_build.release.compare import ReleaseDocument

_path = click.Path(path_type=Path)
_LEARNED = ("predictions", "launches", "keylime", "rvps")


def _document() -> "type[Document]":
    from fuki_build.release.compare import ReleaseDocument  # noqa: PLC0415 - cryptography is slow to load

    return ReleaseDocument


@click.command()
@click.argument("old", type=_path)
@click.argument("new", type=_path)
@click.option("--allow", "allowed", metavar="ID", multiple=True, help="Release in spite of this reason (repeatable).")
@click.option(
    "--list",
    "list_reasons",
    is_flag=True,
    is_eager=True,
    callback=lambda c, _, on: _list(c, on=on),
    expose_value=False,
    help="List all reasons.",
)
@comparison_options
@start_options
@launch_options
@click.option(
    "--recipe", metavar="FILE", type=_path, help="A recipe whose [[fuki.launch]] tables say how guests are launched."
)
@click.option(
    "--learn",
    "learned",
    metavar="FORMAT=FILE",
    multiple=True,
    help=f"Write the reference values of both images: {', '.join(_LEARNED)} (repeatable).",
)
@click.option("--level", metavar="FILE", type=_path, help="Write the SBAT level that revokes OLD.")
@click.option("--revoke", metavar="FILE", type=_path, help="Write an update of dbx that revokes OLD, to be appended.")
@click.option("--owner", type=click.UUID, default=UUID(int=0), help="GUID that marks the entry of dbx as yours.")
@signer_options(
    "Sign the update of dbx with this backend; by default local.",
    key="The backend's option 'key', KEK's: for local, a file.",
    certificate="The backend's option 'certificate', KEK's.",
    certificate_option="--kek",
)
@json_option(_document)
@click.pass_obj
def release(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    old: Path,
    new: Path,
    allowed: tuple[str, ...],
    comparison: Comparison,
    launched: LaunchTable,
    recipe: Path | None,
    learned: tuple[str, ...],
    level: Path | None,
    revoke: Path | None,
    owner: UUID,
    signer: dict[str, Any],
    as_json: bool,
    **boot: Any,  # noqa: ANN401 - what start_options give
) -> None:
    """Tell whether the image NEW may be released after OLD. Exits with 3, and writes nothing, where it may not.

    Machines are those that OLD lists, and those of all loaded platforms, or that --machine and --platform name. Before
    the update, verifiers must learn the reference values of both images; after it, OLD is revoked.

    With --technology or --recipe, they learn what confidential guests measure at launch, too.
    """
    from fuki_build.measure.boot_options import read_boot  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.release.compare import ReleaseOptions, compare  # noqa: PLC0415
    from fuki_build.release.launches import release_launches  # noqa: PLC0415
    from fuki_build.release.released import read_release  # noqa: PLC0415

    _check_allowed(allowed)
    targets = _targets(learned)
    host = pipeline.new_host(plugins)
    machines = comparison.machines(host)
    banks = comparison.chosen_banks()
    start = read_boot(banks, **boot)
    trust = comparison.trust()
    rows = comparison.level()
    requests = _launches(host, launched, recipe)

    before, after = (read_release(inspect(path), trust, rows, banks) for path in (old, new))
    document = compare(
        before,
        after,
        ReleaseOptions(
            machines=machines,
            named=comparison.names_machines,
            trusted=trust.db is not None,
            allowed=allowed,
            level=rows,
            boot=start,
            banks=banks,
        ),
    )

    document = replace(document, launches=release_launches(host, requests, (old, new)))

    refused = [objection for objection in document.objections if not objection.allowed]
    if not refused:
        revocation = _revocation(host, document, owner, signer) if revoke else b""
        _write(document, targets, level, (revoke, revocation))
    _show(document, as_json=as_json)
    _warn_unused(allowed, document)
    if refused:
        more = f" (and {len(refused) - 1} more)" if refused[1:] else ""
        raise MismatchError(
            f"{refused[0].message}{more}",
            where=str(new),
            hint=f"if that is meant, add {' '.join(dict.fromkeys(f'--allow {one.id}' for one in refused))}",
        )


def _launches(host: PluginHost, table: LaunchTable, recipe: Path | None) -> "tuple[LaunchRequest, ...]":
    """What is asked of launches. Raises `RecipeError`."""
    from fuki_build.recipe.load import load_recipe  # noqa: PLC0415 - only where launches are asked for
    from fuki_build.release.launches import launch_requests  # noqa: PLC0415 - as above

    if not table.technology and table != LaunchTable():
        raise click.UsageError("--technology says of what launches --vmm, --vcpus and others are.")
    loaded = load_recipe(recipe) if recipe else None
    if loaded is not None:
        with loaded.origins.named():
            host.load(loaded.recipe.plugins)
    return launch_requests(host, table if table.technology else None, loaded)


def _list(context: click.Context, *, on: bool) -> None:
    if on:
        from fuki_build.release.objections import REASONS  # noqa: PLC0415 - cryptography is slow to load

        for name, summary in REASONS.items():
            click.echo(f"{name:22} {summary}")
        context.exit()


def _check_allowed(allowed: Sequence[str]) -> None:
    from fuki_build.release.objections import REASONS  # noqa: PLC0415 - cryptography is slow to load

    for name in allowed:
        if name not in REASONS:
            hint = did_you_mean(name, REASONS) or "'fuki release --list' shows them all"
            raise RecipeError(f"there is no reason {name!r}", where="--allow", hint=hint)


def _targets(learned: Sequence[str]) -> dict[Path, str]:
    targets = {}
    for text in learned:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise click.UsageError(f"{text!r} is not FORMAT=FILE.")
        if name not in _LEARNED:
            hint = f"there are: {', '.join(_LEARNED)}"
            raise RecipeError(f"reference values cannot be written as {name!r}", where="--learn", hint=hint)
        targets[Path(path)] = name
    return targets


def _revocation(host: PluginHost, document: "ReleaseDocument", owner: UUID, table: dict[str, Any]) -> bytes:
    from fuki_build.formats.uefi import efi_signature_list  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.formats.uefi.efi_signature_list import SignatureType  # noqa: PLC0415
    from fuki_build.recipe.signing import resolve_signer  # noqa: PLC0415
    from fuki_build.signing.secure_boot.signed_update import sign_update  # noqa: PLC0415

    if not document.after.dbx:
        raise RecipeError("both images have one digest, so dbx cannot tell them apart", where="--revoke")
    digests = [bytes.fromhex(digest) for digest in document.after.dbx]
    value = efi_signature_list.encode([efi_signature_list.hash_list(SignatureType.SHA256, digests, owner)])
    request = resolve_signer(table or {"backend": "local"}, host, "revoke")
    return sign_update(request, "dbx", value, append=True)


def _write(
    document: "ReleaseDocument", targets: dict[Path, str], level: Path | None, revocation: tuple[Path | None, bytes]
) -> None:
    """Write all files that were asked for, or none."""
    from fuki_build.release.learning import reference_values  # noqa: PLC0415 - only where it is asked for

    contents = {path: reference_values(name, document.before, document.launches) for path, name in targets.items()}
    if level:
        if not document.after.sbat_level:
            hint = "raise the generation of your component in the new image, or revoke OLD by dbx: --revoke FILE"
            raise RecipeError(
                "no SBAT generation rises, so no level tells the images apart", where="--level", hint=hint
            )
        contents[level] = "".join(f"{line}\n" for line in document.after.sbat_level).encode()
    if revocation[0]:
        contents[revocation[0]] = revocation[1]

    with OutputFiles() as files:
        for path, data in contents.items():
            files.open(path).write(data)
        files.commit()
    for path in contents:
        tell(f"wrote {path}")


def _show(document: "ReleaseDocument", *, as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(document)
    else:
        from fuki_build.cli.render.release import show_release  # noqa: PLC0415

        show_release(document)


def _warn_unused(allowed: Sequence[str], document: "ReleaseDocument") -> None:
    for name in dict.fromkeys(allowed):
        if not any(objection.id == name for objection in document.objections):
            tell(f"fuki: warning: --allow {name}: there is no such reason against this image")
