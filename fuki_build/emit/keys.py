"""Keys for outputs and verbs that sign something other than images: a table names the backend and its options."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from fuki_build.errors import SigningError
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import KeyPreview, KeySigner, SigningContext, SigningKey
from fuki_build.recipe.model import Table
from fuki_build.recipe.plugin_tables import read_plugin_table
from fuki_build.signing.request import SignRequest, errors_at


class KeyTable(Table, frozen=True):
    """A key: the options that its backend takes stand beside `backend`."""

    backend: Annotated[str, Meta(description="a signing backend that holds keys")]


def open_key(table: Mapping[str, Any], host: PluginHost, context: SigningContext, where: str) -> SigningKey:
    """The key that a table names, ready to sign. Raises `FukiError` at the place in the table.

    Backends that sign whole files have no keys to sign digests with.
    """
    backend, request = _request(table, host, context, where)
    with errors_at(request), request.backend.running():
        return backend().open(request.options, context)


def preview_key(table: Mapping[str, Any], host: PluginHost, context: SigningContext, where: str) -> KeyPreview:
    """What is known of the key that a table names, before it is opened. Raises as `open_key` does."""
    backend, request = _request(table, host, context, where)
    with errors_at(request), request.backend.running():
        return backend().preview(request.options, context)


def _request(
    table: Mapping[str, Any], host: PluginHost, context: SigningContext, where: str
) -> tuple[type[KeySigner], SignRequest]:
    context.withhold(table)
    signer = read_plugin_table(table, "backend", KeyTable, host.signer, where)
    backend = signer.contribution.thing
    if not issubclass(backend, KeySigner):
        hint = "name a backend that holds keys"
        raise SigningError(f"{backend.name} signs images only", where=f"{where}.backend", hint=hint)

    request = SignRequest(backend=signer.contribution, options=signer.options, where=where)
    context.note_options(request.options)
    return backend, request
