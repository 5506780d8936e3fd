"""What is to sign: a backend with its options, and how its signatures are to be."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.hooks.host import Contribution
from fuki_build.hooks.signers import FileSigner, KeySigner, SigningContext, SigningKey


class DigestAlgorithm(StrEnum):
    """Algorithms of Authenticode digests; firmware is sure to know the first only."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class SignRequest(Struct, frozen=True, kw_only=True):
    """One signer of a recipe or command line; `where` is its place there, `options` an instance of the backend's."""

    backend: Contribution[type[KeySigner] | type[FileSigner]]
    options: Any
    where: str
    digest: DigestAlgorithm = DigestAlgorithm.SHA256
    signing_time: bool = False
    timestamp: str | None = None
    sign_kernel: bool | Literal["always"] = False

    @property
    def name(self) -> str:
        return self.backend.name


class Signer(Struct, frozen=True):
    """A signer that is ready: `key` is open, or None where a program signs the finished file."""

    request: SignRequest
    key: SigningKey | None

    @property
    def name(self) -> str:
        return self.request.backend.name


class Signers:
    """Open signers, by the place of their requests in the recipe or on the command line."""

    def __init__(self, signers: Iterable[Signer] = ()) -> None:
        self._signers: dict[str, Signer] = {}
        for signer in signers:
            if signer.request.where in self._signers:
                raise ValueError(f"there are two signers at {signer.request.where}")
            self._signers[signer.request.where] = signer

    def of(self, request: SignRequest) -> Signer:
        """The signer of a request. Raises `LookupError` for one that was not opened: nothing is left unsigned."""
        return self._signers[request.where]

    def __iter__(self) -> Iterator[Signer]:
        return iter(self._signers.values())


def open_signers(requests: Sequence[SignRequest], context: SigningContext) -> tuple[Signer, ...]:
    """Find all keys, and log in where that is needed, before anything is read or written. Raises `SigningError`."""
    context.withhold([request.options for request in requests])
    for request in requests:
        context.note_options(request.options)
    return tuple(Signer(request, _open(request, context)) for request in requests)


def _open(request: SignRequest, context: SigningContext) -> SigningKey | None:
    backend = request.backend.thing
    if not issubclass(backend, KeySigner):
        from fuki_build.signing.key_requirements import source_date  # noqa: PLC0415 - cryptography is slow to load

        # Programs take it from the environment, unseen.
        source_date()
        return None

    @contextmanager
    def open_key() -> Iterator[SigningKey]:
        yield backend().open(request.options, context)

    # Of several requests with the same options, as in the cells of a matrix, all have one key: it is opened once.
    options = msgspec.json.encode(request.options, enc_hook=str, order="deterministic")
    with errors_at(request), request.backend.running():
        return context.once(("signing key", request.name, options), open_key)


@contextmanager
def signing_context(directory: Path, *, commands: bool = True) -> Iterator[SigningContext]:
    """A context for signers, with a workspace that is there as long as the `with` lasts.

    Paths in their options are relative to `directory`; `commands` tells whether programs that they name may run.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fuki-") as workspace,
        SigningContext(directory, Path(workspace), commands=commands) as context,
    ):
        yield context


@contextmanager
def errors_at(request: SignRequest) -> Iterator[None]:
    """Name the signer's place in errors that pass; a backend names its option only."""
    try:
        yield
    except FukiError as error:
        error.where = f"{request.where}.{error.where}" if error.where else request.where
        raise
