"""`fuki keys`: keys for Secure Boot and PCR policies, and firmware that trusts them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import click

from fuki_build.cli.options import json_option, output_type
from fuki_build.cli.render.plain import tell
from fuki_build.cli.standard_output import file_for, tell_written
from fuki_build.errors import FukiError, RecipeError, SigningError, located, raised_as
from fuki_build.formats.documents import Document, View

if TYPE_CHECKING:
    from fuki_build.image.output_directory import NewFile

_TYPES = ("rsa2048", "rsa3072", "rsa4096", "p256", "p384")
_MAX_FILE = 16 * 1024 * 1024
_PURPOSE = "passphrase of the new keys"


class KeyFileView(View, frozen=True):
    """`secret` tells whether it is a private key."""

    path: str
    secret: bool


class KeysDocument(Document, frozen=True):
    """What `fuki keys generate --json` prints; `owner` is the GUID that marks the entries of signature lists."""

    owner: str
    files: tuple[KeyFileView, ...]


@click.group()
def keys() -> None:
    """Keys for Secure Boot and PCR policies, and firmware that trusts them."""


@keys.command()
@click.argument("directory", type=click.Path(path_type=Path), default="keys")
@click.option(
    "--type", "type_", type=click.Choice(_TYPES), default="rsa2048", show_default=True, help="Of PK, KEK, db."
)
@click.option("--name", default="fuki", show_default=True, help="Whose keys they are, for the certificates' names.")
@click.option("--owner", type=click.UUID, help="GUID that marks entries as yours; by default a new one.")
@click.option("--passphrase", metavar="SOURCE", help="Encrypt keys: file:PATH, env:NAME, credential:NAME or prompt.")
@click.option("--pcr", is_flag=True, help="Make a key for PCR policies too.")
@click.option("--pcr-type", type=click.Choice(_TYPES), default="rsa2048", show_default=True, help="Of that key.")
@json_option(lambda: KeysDocument)
def generate(  # noqa: PLR0917 - click passes them by name
    directory: Path,
    type_: str,
    name: str,
    owner: UUID | None,
    passphrase: str | None,
    pcr: bool,
    pcr_type: str,
    as_json: bool,
) -> None:
    """Make PK, KEK and db in DIRECTORY, which must be new or empty.

    Of each, .key is the private key, for nobody else to read, .pem the certificate, .esl the signature list, and .auth
    what firmware in setup mode enrolls.
    """
    # cryptography is slow to load.
    from fuki_build.image.output_directory import write_directory  # noqa: PLC0415
    from fuki_build.signing.secure_boot import keys  # noqa: PLC0415
    from fuki_build.signing.secure_boot.keys import KeyType  # noqa: PLC0415

    secret = None if passphrase is None else _new_passphrase(passphrase)
    guid = owner or uuid4()
    with located("--name"):
        files = keys.make_secure_boot_keys(name, KeyType(type_), guid, secret)
    if pcr:
        files += keys.make_pcr_key(KeyType(pcr_type), secret)
    write_directory(directory, files)
    _warn(type_, pcr_type if pcr else None)
    _tell(directory, guid, files, as_json)


def _new_passphrase(source: str) -> str:
    """A passphrase that is not empty; somebody who types it does so twice."""
    from fuki_build.hooks.secrets import read_secret  # noqa: PLC0415

    where = "--passphrase"
    secret = read_secret(source, Path(), _PURPOSE, where)
    if not secret:
        raise SigningError(f"the {_PURPOSE} is empty", where=where)
    if source == "prompt" and read_secret(source, Path(), f"{_PURPOSE}, once more", where) != secret:
        raise SigningError("these were two different passphrases", where=where)
    return secret


def _warn(type_: str, pcr_type: str | None) -> None:
    if type_.startswith("p"):
        tell("fuki: warning: little firmware verifies ECDSA; rsa2048 works everywhere")
    if pcr_type not in {None, "rsa2048"}:
        click.echo(
            "fuki: warning: TPMs and systemd verify PCR policies with rsa2048, with others perhaps not", err=True
        )


def _tell(directory: Path, owner: UUID, files: "Sequence[NewFile]", as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        views = tuple(KeyFileView(str(directory / file.name), file.secret) for file in files)
        print_document(KeysDocument(str(owner), views))
    else:
        tell(f"wrote {len(files)} files into {directory}")


def _read(path: str, where: str) -> bytes:
    from fuki_build.image.blob import Blob  # noqa: PLC0415

    with raised_as(RecipeError, where):
        return Blob.of_file(Path(path)).read_small(_MAX_FILE, path)


@keys.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=output_type,
    required=True,
    help="Where to write the image with the keys; '-' is standard output.",
)
@click.option("--pk", metavar="FILE", required=True, help="The platform key's certificate.")
@click.option("--kek", metavar="FILE", multiple=True, help="A certificate for KEK (repeatable).")
@click.option("--db", metavar="FILE", multiple=True, help="A certificate for db (repeatable).")
@click.option(
    "--dbx",
    metavar="FILE|HASH",
    multiple=True,
    help="What to revoke: a signature list, .auth file, certificate or SHA-256 (repeatable).",
)
@click.option("--owner", type=click.UUID, help="GUID that marks entries as yours; by default, from the PK.")
@click.option("--microsoft", is_flag=True, help="Put Microsoft's certificates into KEK and db too.")
@click.option("--secure-boot/--no-secure-boot", default=True, help="Switch Secure Boot on, or leave it off.")
@click.option("--backend", metavar="NAME", default="virt-firmware", show_default=True, help="A plugin's enroller.")
@click.pass_obj
def enroll(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    store: Path,
    output: Path,
    pk: str,
    kek: tuple[str, ...],
    db: tuple[str, ...],
    dbx: tuple[str, ...],
    owner: UUID | None,
    microsoft: bool,
    secure_boot: bool,
    backend: str,
) -> None:
    """Put Secure Boot keys into STORE: an OVMF_VARS.fd, or an OVMF.fd with code and variables.

    PK, KEK and db are replaced, dbx is added to. Needs a plugin: fuki --plugin virt-firmware keys enroll …
    """
    from fuki_build import pipeline  # noqa: PLC0415 - slow to load
    from fuki_build.formats.uefi import secure_boot_support  # noqa: PLC0415
    from fuki_build.hooks.sources import SourceContext  # noqa: PLC0415
    from fuki_build.image.output_file import OutputFile  # noqa: PLC0415
    from fuki_build.signing.secure_boot import enrollment  # noqa: PLC0415

    host = pipeline.new_host(plugins)
    try:
        enroller = host.enroller(backend)
    except FukiError as error:
        if not host.names("fuki_enrollers"):
            error.hint = f"load a plugin that has it: fuki --plugin {backend} keys enroll …"
        error.at("--backend")
        raise

    files = enrollment.KeyFiles(
        pk=pk, kek=kek, db=db, dbx=dbx, owner=owner, microsoft=microsoft, secure_boot=secure_boot
    )
    loaded = enrollment.load_keys(files, _read, lambda key: f"--{key.partition('[')[0]}")

    with (
        tempfile.TemporaryDirectory(prefix="fuki-") as workspace,
        file_for(output) as path,
        OutputFile(path, edits=store) as file,
    ):
        target = Path(workspace) / "enrolled.fd"
        enrollment.enroll(store, target, loaded, enroller, SourceContext(Path(), Path(workspace)))
        data = target.read_bytes()
        file.write(data)
        file.commit()

    if secure_boot_support.enforces_secure_boot(data) is False:
        tell("fuki: warning: this firmware was built without Secure Boot, and ignores the keys")
    tell_written(output)


@keys.command()
@click.argument("variable", type=click.Choice(("PK", "KEK", "db", "dbx")))
@click.argument("entries", metavar="FILE|HASH…", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=output_type, required=True, help="Where to write the .auth file; '-' is standard output."
)
@click.option("--append", is_flag=True, help="Add to the variable instead of setting it.")
@click.option("--owner", type=click.UUID, default=UUID(int=0), help="GUID that marks the entries as yours.")
@click.option("--backend", metavar="NAME", help="Sign with this backend; by default local.")
@click.option("--key", help="The backend's option 'key': for local, a file.")
@click.option("--certificate", metavar="FILE", help="The backend's option 'certificate'.")
@click.option(
    "-O", "--option", "options", metavar="KEY=VALUE", multiple=True, help="Another option of it (repeatable)."
)
@click.pass_obj
def update(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    variable: str,
    entries: tuple[str, ...],
    output: Path,
    append: bool,
    owner: UUID,
    backend: str | None,
    key: str | None,
    certificate: str | None,
    options: tuple[str, ...],
) -> None:
    """Sign a new value of VARIABLE, as an .auth file: certificates, signature lists and SHA-256 hashes.

    The key is that of PK for PK and KEK, and of KEK for db and dbx. Firmware takes a value only if its time is later
    than that of the last one: the time is now, or SOURCE_DATE_EPOCH. An .auth file made with --append must be written
    with that attribute (efi-updatevar -a).
    """
    from fuki_build import pipeline  # noqa: PLC0415 - slow to load
    from fuki_build.cli.signer_options import signer_table  # noqa: PLC0415
    from fuki_build.formats.uefi import efi_signature_list  # noqa: PLC0415
    from fuki_build.image.output_file import OutputFile  # noqa: PLC0415
    from fuki_build.recipe.signing import resolve_signer  # noqa: PLC0415
    from fuki_build.signing.secure_boot import enrollment, signed_update  # noqa: PLC0415

    table = signer_table(backend, key, certificate, options) or {"backend": "local"}
    request = resolve_signer(table, pipeline.new_host(plugins), "sign")
    value = efi_signature_list.encode(enrollment.load_lists(variable, entries, owner, _read, lambda place: place))
    data = signed_update.sign_update(request, variable, value, append=append)
    with file_for(output) as path, OutputFile(path) as file:
        file.write(data)
        file.commit()
    tell_written(output)
