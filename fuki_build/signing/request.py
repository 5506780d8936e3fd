"""What is to sign: a backend with its options, and how its signatures are to be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.hooks.host import PluginInfo, blame
from fuki_build.hooks.signers import FileSigner, KeySigner, SigningContext, SigningKey


class DigestAlgorithm(StrEnum):
    """Algorithms of Authenticode digests; firmware is sure to know the first only."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class SignRequest(Struct, frozen=True):
    """One signer of a recipe or command line; `where` is its place there, `options` an instance of the backend's."""

    backend: type[KeySigner] | type[FileSigner]
    plugin: PluginInfo
    options: Any
    where: str
    digest: DigestAlgorithm = DigestAlgorithm.SHA256
    signing_time: bool = False
    timestamp: str | None = None
    sign_kernel: bool | Literal["always"] = False


class Signer(Struct, frozen=True):
    """A signer that is ready: `key` is open, or None where a program signs the finished file."""

    request: SignRequest
    key: SigningKey | None

    @property
    def name(self) -> str:
        return self.request.backend.name


def open_signers(requests: Sequence[SignRequest], context: SigningContext) -> tuple[Signer, ...]:
    """Find all keys, and log in where that is needed, before anything is read or written. Raises `SigningError`."""
    return tuple(Signer(request, _open(request, context)) for request in requests)


def _open(request: SignRequest, context: SigningContext) -> SigningKey | None:
    if not issubclass(request.backend, KeySigner):
        return None
    backend = request.backend()
    with errors_at(request), blame(request.plugin, f"failed in signing backend {backend.name!r}"):
        return backend.open(request.options, context)


@contextmanager
def errors_at(request: SignRequest) -> Iterator[None]:
    """Name the signer's place in errors that pass; a backend names its option only."""
    try:
        yield
    except FukiError as error:
        error.where = f"{request.where}.{error.where}" if error.where else request.where
        raise
