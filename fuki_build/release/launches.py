"""What confidential guests measure at launch, before an update and after it: verifiers learn both."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.errors import FukiError
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import LaunchDocument, to_document
from fuki_build.launch.of_image import requested_launches
from fuki_build.recipe.launch import LaunchRequest, resolve_launch
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import LaunchTable


def launch_requests(
    host: PluginHost, table: LaunchTable | None, recipe: LoadedRecipe | None
) -> tuple[LaunchRequest, ...]:
    """The launches of a table that options make, and of the tables of a recipe. Raises `RecipeError`."""
    return tuple(_requests(host, table, recipe))


def _requests(host: PluginHost, table: LaunchTable | None, recipe: LoadedRecipe | None) -> Iterator[LaunchRequest]:
    if table is not None:
        # Of several firmware images, not all need to be made for a technology: what is not is a note.
        yield from (replace(request, named=False) for request in resolve_launch(table, host, Path(), "launch"))
    if recipe is not None:
        for index, own in enumerate(recipe.recipe.launch):
            yield from resolve_launch(own, host, recipe.directory, f"fuki.launch[{index}]")


def release_launches(
    host: PluginHost, requests: Sequence[LaunchRequest], images: Sequence[Path]
) -> tuple[LaunchDocument, ...]:
    """A document for each image, nothing without requests. Raises `FukiError` where no firmware can be launched so."""
    if not requests:
        return ()
    documents = tuple(to_document(requested_launches(image, host, requests)) for image in images)
    for image, document in zip(images, documents, strict=True):
        if not document.launches:
            reasons = [note.message for note in document.notes]
            text = reasons[0] if reasons else "it has no firmware that is made for any of these technologies"
            raise FukiError(text, where=str(image), hint="'fuki firmware show' tells what it has")
    return documents


def both(documents: Sequence[LaunchDocument]) -> LaunchDocument:
    """The launches of all documents as one, each once."""
    rows = (row for document in documents for row in document.launches)
    return LaunchDocument(tuple(dict.fromkeys(rows)))
