"""Keys for outputs and verbs that sign something other than images: a table names the backend and its options."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from fuki_build.errors import FukiError, SigningError
from fuki_build.hooks.host import PluginHost, blame
from fuki_build.hooks.records import NoOptions
from fuki_build.hooks.signers import KeySigner, SigningContext, SigningKey
from fuki_build.recipe.convert import convert, convert_options, split
from fuki_build.recipe.model import Table


class KeyTable(Table, frozen=True):
    """A key: the options that its backend takes stand beside `backend`."""

    backend: Annotated[str, Meta(description="a signing backend that holds keys")]


def open_key(table: Mapping[str, Any], host: PluginHost, context: SigningContext, where: str) -> SigningKey:
    """The key that a table names, ready to sign. Raises `FukiError` at the place in the table.

    Backends that sign whole files have no keys to sign digests with.
    """
    data = dict(table)
    if not isinstance(data.get("backend"), str):
        convert(split(data, KeyTable, NoOptions)[0], KeyTable, where)
    try:
        found = host.signer(data["backend"])
    except FukiError as error:
        raise error.at(f"{where}.backend") from error
    backend = found.thing
    if not issubclass(backend, KeySigner):
        hint = "name a backend that holds keys"
        raise SigningError(f"{backend.name} signs images only", where=f"{where}.backend", hint=hint)
    options = convert_options(split(data, KeyTable, backend.Options)[1], backend.Options, KeyTable, where)
    try:
        with blame(found.plugin, f"failed in signing backend {backend.name!r}"):
            return backend().open(options, context)
    except SigningError as error:
        inner = f"{where}.{error.where}" if error.where else where
        raise SigningError(error.message, where=inner, hint=error.hint) from error
