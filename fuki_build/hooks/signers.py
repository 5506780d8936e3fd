"""Signing backends: keys that sign digests, and programs that sign files."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

from msgspec import Meta, Struct

from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.hooks.options import NoOptions, Options
from fuki_build.hooks.secrets import read_secret
from fuki_build.image.blob import Blob
from fuki_build.image.guard import note_named
from fuki_build.recipe_commands import check_command

T = TypeVar("T")
_MAX_SIZE = 1024 * 1024


class CertificateOptions(Options, frozen=True):
    """The options of every backend whose certificates are files; those of a key alone need none."""

    certificate: Annotated[str | None, Meta(description="the signer's certificate: PEM or DER")] = None
    intermediates: Annotated[
        tuple[str, ...], Meta(description="further certificates to put into signatures: PEM or DER")
    ] = ()


class SigningContext:
    """What the signers of one command share; resources that they hold are released at the end of its `with`.

    `directory` is what options' paths are relative to (the recipe's), `workspace` a scratch directory that lives until
    the command ends, `files` what was read and decides the outcome (keys and certificates, not secrets). `commands`
    tells whether the recipe may have programs of its choice run.

    >>> with SigningContext(Path("/recipe"), Path("/tmp")) as context:
    ...     context.once("token", lambda: ExitStack()) is context.once("token", lambda: ExitStack())
    True
    """

    def __init__(self, directory: Path, workspace: Path, *, commands: bool = True) -> None:
        self.directory = directory
        self.workspace = workspace
        self.commands = commands
        self.files: list[Path] = []
        self._stack = ExitStack()
        self._shared: dict[Hashable, object] = {}
        self._withheld: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.clear()
        self._stack.close()

    def once(self, key: Hashable, open_: Callable[[], AbstractContextManager[T]]) -> T:
        """What `open_()` gives, entered at the first call with `key`: one login serves all keys of a token."""
        if key not in self._shared:
            self._shared[key] = self._stack.enter_context(open_())
        return cast("T", self._shared[key])

    def check_command(self, program: str, where: str) -> None:
        """Raise `RecipeError` if no program, and no library, that the recipe names may run; call it before."""
        check_command(program, where, allowed=self.commands)

    def note_options(self, options: object) -> None:
        """Let no output replace a file that options of a backend name: keys and libraries that a program reads."""
        note_named(options, self.directory)

    def secret(self, source: str | None, purpose: str, where: str) -> str:
        """A passphrase or PIN; see `read_secret`. The same question is asked once."""
        key = ("secret", source, purpose)
        if key not in self._shared:
            self._shared[key] = read_secret(source, self.directory, purpose, where)
            self.withhold(source)
        return cast("str", self._shared[key])

    def withhold(self, options: object) -> None:
        """Keep programs from all variables that options (structs, tables, lists) name as sources of secrets."""
        self._withheld |= set(_secret_variables(options))

    @property
    def environment(self) -> dict[str, str]:
        """What programs get: the environment without the variables that secrets come from, used or not."""
        return {name: value for name, value in os.environ.items() if name not in self._withheld}

    def read(self, path: str, description: str, where: str) -> bytes:
        """A small file's content. Raises `SigningError` at `where`, the option that named it."""
        self.files.append(self.directory / path)
        with raised_as(SigningError, where):
            return Blob.of_file(self.directory / path).read_small(_MAX_SIZE, description)

    def certificates(self, options: CertificateOptions) -> list[bytes]:
        """The certificates that `options` name, in DER, the signer's first; none where it is not given."""
        from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is loaded only where something is signed

        named = [("certificate", path) for path in (options.certificate,) if path is not None]
        named += [(f"intermediates[{i}]", path) for i, path in enumerate(options.intermediates)]

        chain: list[bytes] = []
        for key, path in named:
            with raised_as(SigningError, key, of=FormatError, about=str(path)):
                chain += x509.decode_certificates(self.read(path, "certificate", key))
        return chain


def _secret_variables(options: object) -> Iterator[str]:
    match options:
        case str():
            kind, _, name = options.partition(":")
            if kind == "env":
                yield name
        case Struct():
            for field in options.__struct_fields__:
                yield from _secret_variables(getattr(options, field))
        case Mapping():
            for value in options.values():
                yield from _secret_variables(value)
        case Sequence() if not isinstance(options, bytes):
            for value in options:
                yield from _secret_variables(value)


class KeyPreview(Struct, frozen=True, kw_only=True):
    """What is known of a key before it is opened.

    `certificates` are DER, the key's own first, `public_key` is a SubjectPublicKeyInfo in DER; each is None where only
    the key's store knows.
    """

    certificates: Sequence[bytes] | None = None
    public_key: bytes | None = None


def named_certificates(options: object, context: SigningContext) -> KeyPreview:
    """A preview from the certificates that options name, if they do. Raises `SigningError`."""
    if not isinstance(options, CertificateOptions) or options.certificate is None:
        return KeyPreview()
    return KeyPreview(certificates=context.certificates(options))


class SigningKey(ABC):
    """A key that can be used now.

    `certificates` are DER, the key's own first, then intermediates; without any the key signs PCR policies only.
    `public_key` is a SubjectPublicKeyInfo in DER.
    """

    certificates: Sequence[bytes]
    public_key: bytes

    @abstractmethod
    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """The signature over `digest`, which was made with hashlib's `algorithm`. Raises `SigningError`.

        RSA keys give PKCS #1 v1.5 signatures (RFC 8017, 8.2), of the modulus' length; elliptic curve keys ECDSA's in
        DER (RFC 3279, 2.2.3).
        """


class KeySigner(ABC):
    """Signs digests with keys: serves images and PCR policies alike.

    >>> class Toy(SigningKey):
    ...     certificates, public_key = [b"DER"], b"DER"
    ...     def sign(self, digest, algorithm): return digest[::-1]
    >>> class Remote(KeySigner):
    ...     name = "remote"
    ...     def open(self, options, context): return Toy()
    >>> with SigningContext(Path("/recipe"), Path("/tmp")) as context:
    ...     Remote().open(NoOptions(), context).sign(b"12", "sha256")
    b'21'
    """

    name: ClassVar[str]
    Options: ClassVar[type[Options]] = NoOptions

    @abstractmethod
    def open(self, options: Any, context: SigningContext) -> SigningKey:  # noqa: ANN401 - an instance of Options
        """Find the key, and log in where that is needed. Raises `SigningError`, `where` being the option at fault."""

    def preview(self, options: Any, context: SigningContext) -> KeyPreview:  # noqa: ANN401
        """What a dry run may know of the key: it asks for no secret, logs in nowhere, and contacts no service.

        Raises `SigningError` or `RecipeError` for what is wrong with the options, as `open` does. By default the
        certificates that they name.
        """
        return named_certificates(options, context)

    def certificates(self, options: Any, context: SigningContext) -> Sequence[bytes]:  # noqa: ANN401
        """The key's certificates, for a layout: better without asking for a secret. By default the key is opened."""
        return self.open(options, context).certificates

    def public_key(self, options: Any, context: SigningContext) -> bytes:  # noqa: ANN401
        """The key's SubjectPublicKeyInfo in DER, for a layout; by default the certificate's or open key's."""
        from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is loaded only where something is signed

        certificates = self.certificates(options, context)
        return x509.public_key_of(certificates[0]) if certificates else self.open(options, context).public_key


class FileSigner(ABC):
    """Hands the finished file to a program that signs it in place.

    >>> class Program(FileSigner):
    ...     name = "program"
    ...     def sign_file(self, path, options, context):
    ...         _ = path.write_bytes(path.read_bytes() + b"signed")
    >>> Program.name
    'program'
    """

    name: ClassVar[str]
    Options: ClassVar[type[Options]] = NoOptions

    @abstractmethod
    def sign_file(self, path: Path, options: Any, context: SigningContext) -> None:  # noqa: ANN401
        """Add a signature to the image at `path`, which no one else sees yet. The program may replace the file.

        Raises `SigningError`. What the program did is verified afterwards: it may add a signature and nothing else.
        """

    def preview(self, options: Any, context: SigningContext) -> KeyPreview:  # noqa: ANN401
        """As `KeySigner.preview`, with the errors of `sign_file`: no certificate, or a program that is not there."""
        return named_certificates(options, context)
