"""`.sbat` of an image: what can be revoked of stub, kernel and image, each by itself."""

from collections.abc import Iterable, Sequence

from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.uki import sbat
from fuki_build.image.blob import Blob
from fuki_build.image.kernel import Kernel
from fuki_build.image.section import Section
from fuki_build.image.stub import Stub
from fuki_build.recipe.contents import sbat_lines
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import ContentTable, ImageTable, ProfileTable


def uki_sbat(
    contents: ImageTable | ProfileTable,
    stub: Stub,
    kernel: Kernel | None,
    profile: int | None,
    inputs: Inputs,
    where: str,
) -> Section:
    """Stub's, kernel's and the recipe's components, so that each can be revoked."""
    tables = [sbat_of(stub.section(".sbat"), f"stub {stub.path}")]
    if kernel:
        tables.append(sbat_of(kernel.sbat, f"kernel {kernel.path}"))
    tables.append(sbat_lines(contents, sbat.UKI_COMPONENT, inputs, where))
    sources = "stub, kernel, recipe" if kernel and kernel.sbat else "stub, recipe"
    return Section(name=".sbat", content=Blob.of_bytes(sbat.merge(tables)), source=sources, profile=profile)


def sbat_of(data: bytes, owner: str) -> tuple[str, ...]:
    """The lines of a table, without the first. Raises `RecipeError` naming its owner."""
    if not data:
        return ()
    try:
        return sbat.parse(data)
    except FormatError as error:
        raise RecipeError(f"the .sbat of {owner} is unreadable: {error.message}") from error


def changed_sbat(
    base: bytes,
    contents: ContentTable,
    parts: Iterable[tuple[Sequence[str], Sequence[str]]],
    inputs: Inputs,
    where: str,
) -> bytes | None:
    """The table of a base in which some parts are others now; None where nothing of it changes.

    `parts` are the old and the new lines of what was replaced. Lines of a component take the place of all that the
    base has of it: one that stayed at a lower generation would still count.
    """
    changes = [(frozenset(old), list(new)) for old, new in parts]
    if contents.sbat:
        changes.append((frozenset(), list(sbat_lines(contents, "", inputs, where))))
    if not any(old or new for old, new in changes):
        return None

    lines = list(sbat_of(base, "the base"))
    for old, new in changes:
        components = {_component(line) for line in new}
        stays = [line not in old and _component(line) not in components for line in lines]
        # What is new stands where the first line was that it is in place of.
        first = stays.index(False) if False in stays else len(lines)
        behind = [line for line, keep in zip(lines[first:], stays[first:], strict=True) if keep]
        lines = [*lines[:first], *new, *behind]
    return sbat.merge([lines])


def _component(line: str) -> str:
    return line.partition(",")[0]
