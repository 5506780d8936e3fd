"""`[fuki.sign]` and `sign` of outputs: which backends sign, with which options."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import fields, replace

from fuki_build.errors import RecipeError
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import FileSigner, SigningContext
from fuki_build.image.inspect import read_layout
from fuki_build.recipe.contents import ResolvedContents
from fuki_build.recipe.model import Sign, SignTable
from fuki_build.recipe.plugin_tables import read_plugin_table
from fuki_build.signing.request import SignRequest

if TYPE_CHECKING:
    from fuki_build.signing.authenticode.kernel import KernelReservation


def resolve_signers(sign: Sign, host: PluginHost, where: str) -> tuple[SignRequest, ...]:
    """The signers of one table, or of several. Raises `RecipeError` at its place."""
    if isinstance(sign, dict):
        return (resolve_signer(sign, host, where),)
    return tuple(resolve_signer(table, host, f"{where}[{index}]") for index, table in enumerate(sign))


def resolve_signer(data: dict[str, Any], host: PluginHost, where: str) -> SignRequest:
    signer = read_plugin_table(data, "backend", SignTable, host.signer, where)
    table, backend = signer.table, signer.contribution.thing
    if issubclass(backend, FileSigner):
        _refuse_undone(table, backend.name, where)

    return SignRequest(
        backend=signer.contribution,
        options=signer.options,
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
    """Reserves the signatures of kernels; one that is signed stays as it is, unless the recipe says always."""

    def __init__(self, requests: tuple[SignRequest, ...], context: SigningContext) -> None:
        self._requests = requests
        self._context = context
        self.reservations: list[KernelReservation] = []

    def reserve(self, contents: ResolvedContents, profile: int | None) -> ResolvedContents:
        """The contents of a profile, or of the base, with the kernel as it will be, as far as that is known now."""
        kernel = contents.kernel
        if kernel is None or kernel.headers is None:
            return contents
        requests = tuple(r for r in self._requests if r.sign_kernel == "always" or not kernel.signed)
        if not requests:
            return contents
        from fuki_build.signing.authenticode.kernel import reserve  # noqa: PLC0415 - cryptography is slow to load

        reservation = reserve(read_layout(kernel.content, kernel.path), profile, requests, self._context)
        self.reservations.append(reservation)
        sections = tuple(
            replace(section, content=reservation.content) if section.name == ".linux" else section
            for section in contents.sections
        )
        return replace(contents, sections=sections)


def refuse_kernels(requests: tuple[SignRequest, ...]) -> None:
    """A kernel is inside every output of an image, so that no single output can have it signed."""
    for request in requests:
        if request.sign_kernel:
            raise RecipeError(
                "an output cannot have its own kernel signature",
                where=f"{request.where}.sign-kernel",
                hint="set it in [fuki.sign]",
            )
