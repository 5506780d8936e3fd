"""Enrolling Secure Boot keys in firmware images."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from fuki_build.formats.uefi.efi_signature_list import SignatureList
from fuki_build.hooks.sources import SourceContext


class SecureBootKeys(Struct, frozen=True, kw_only=True):
    """What Secure Boot's variables are to hold; certificates are DER.

    `owner` marks the entries of PK, KEK and db as its own. `dbx` is all of dbx, what the image had before among it.
    With `microsoft`, KEK and db hold Microsoft's certificates too. `secure_boot` False leaves Secure Boot switched off.
    """

    owner: UUID
    pk: bytes
    kek: tuple[bytes, ...]
    db: tuple[bytes, ...]
    dbx: tuple[SignatureList, ...] = ()
    microsoft: bool = False
    secure_boot: bool = True


class Enroller(ABC):
    """Writes Secure Boot's variables into the variable store of a firmware image.

    >>> class Nobody(Enroller):
    ...     name = "nobody"
    ...     def enroll(self, source, target, keys, context):
    ...         _ = target.write_bytes(source.read_bytes())
    >>> Nobody.name
    'nobody'
    """

    name: ClassVar[str]

    @abstractmethod
    def enroll(self, source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
        """Write the image at `source` to `target`, which does not exist, with PK, KEK, db and dbx set to `keys`.

        The same image and keys give the same bytes. Raises `FukiError`. What was written is read back afterwards.
        """
