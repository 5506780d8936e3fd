"""`[fuki.sign]` and `sign` of outputs: which backends sign, with which options."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import fields, replace

from fuki_build.errors import RecipeError, located
from fuki_build.hooks.host import Contribution, PluginHost
from fuki_build.hooks.options import NoOptions
from fuki_build.hooks.signers import FileSigner, KeySigner, SigningContext
from fuki_build.image.inspect import read_layout
from fuki_build.recipe.contents import Slice
from fuki_build.recipe.convert import convert, convert_options, split
from fuki_build.recipe.model import Sign, SignTable
from fuki_build.signing.request import SignRequest

if TYPE_CHECKING:
    from fuki_build.signing.kernel import KernelRoom

T = TypeVar("T", bound=Struct)


def resolve_signers(sign: Sign, host: PluginHost, where: str) -> tuple[SignRequest, ...]:
    """The signers of one table, or of several. Raises `RecipeError` at its place."""
    if isinstance(sign, dict):
        return (resolve_signer(sign, host, where),)
    return tuple(resolve_signer(table, host, f"{where}[{index}]") for index, table in enumerate(sign))


class ResolvedBackend(Struct, Generic[T], frozen=True):
    """A table that names a signing backend: the backend, the keys that all such tables have, and its own options."""

    backend: Contribution[type[KeySigner] | type[FileSigner]]
    table: T
    options: Any


def resolve_backend(data: Mapping[str, Any], common: type[T], host: PluginHost, where: str) -> ResolvedBackend[T]:
    """A table whose key `backend` names one, if only by default. Raises `RecipeError` at its place."""
    defaults = {field.encode_name: field.default for field in fields(common)}
    name = data.get("backend", defaults["backend"])
    if not isinstance(name, str):
        convert(split(dict(data), common, NoOptions)[0], common, where)
    with located(f"{where}.backend"):
        found = host.signer(name)
    shared, rest = split(dict(data), common, found.thing.Options)
    options = convert_options(rest, found.thing.Options, common, where)
    return ResolvedBackend(found, convert(shared, common, where), options)


def resolve_signer(data: dict[str, Any], host: PluginHost, where: str) -> SignRequest:
    found = resolve_backend(data, SignTable, host, where)
    table, backend = found.table, found.backend.thing
    if issubclass(backend, FileSigner):
        _refuse_undone(table, backend.name, where)
    return SignRequest(
        backend=backend,
        plugin=found.backend.plugin,
        options=found.options,
        where=where,
        digest=table.digest,
        signing_time=table.signing_time,
        timestamp=table.timestamp,
        sign_kernel=table.sign_kernel,
    )


def _refuse_undone(table: SignTable, name: str, where: str) -> None:
    """What a program is not told, it does not do; one that can has an option of the same name."""
    usual = SignTable(backend=name)
    for field in fields(SignTable):
        if field.name not in ("backend", "sign_kernel") and getattr(table, field.name) != getattr(usual, field.name):
            hint = "leave it out, or take another backend"
            key = field.encode_name
            raise RecipeError(f"{name} has no option {key!r}", where=f"{where}.{key}", hint=hint)


class KernelSigning:
    """Makes room for the signatures of kernels; one that is signed stays as it is, unless the recipe says always."""

    def __init__(self, requests: tuple[SignRequest, ...], context: SigningContext) -> None:
        self._requests = requests
        self._context = context
        self.rooms: list[KernelRoom] = []

    def reserve(self, found: Slice) -> Slice:
        """The slice with the kernel as it will be, as far as that is known now."""
        kernel = found.kernel
        if kernel is None or kernel.headers is None:
            return found
        requests = tuple(r for r in self._requests if r.sign_kernel == "always" or not kernel.signed)
        if not requests:
            return found
        from fuki_build.signing.kernel import reserve  # noqa: PLC0415 - cryptography is slow to load

        room = reserve(read_layout(kernel.content, kernel.path), requests, self._context)
        self.rooms.append(room)
        sections = tuple(
            replace(section, content=room.content) if section.name == ".linux" else section
            for section in found.sections
        )
        return replace(found, sections=sections)


def refuse_kernels(requests: tuple[SignRequest, ...]) -> None:
    """A kernel is inside every output of an image, so that no single output can have it signed."""
    for request in requests:
        if request.sign_kernel:
            raise RecipeError(
                "an output cannot have its own kernel signature",
                where=f"{request.where}.sign-kernel",
                hint="set it in [fuki.sign]",
            )
