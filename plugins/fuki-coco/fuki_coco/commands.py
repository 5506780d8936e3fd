"""`fuki id-block`: ID blocks of SEV-SNP guests, made and verified."""

import json
import shlex
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from fuki_build import OutputFile, signing_key
from fuki_build.errors import FormatError, MismatchError, RecipeError
from fuki_build.formats import id_block
from fuki_build.formats.id_block import DEFAULT_POLICY, IdAuth, IdBlock

VERSION = 1
_MAX_FILE = 16 * 1024 * 1024
_path = click.Path(path_type=Path)


def _hex(size: int) -> Callable[[click.Context, click.Parameter, str | None], bytes | None]:
    """For an option that takes `size` bytes in hex."""

    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
        try:
            found = None if value is None else bytes.fromhex(value)
        except ValueError:
            found = b""
        if found is not None and len(found) != size:
            raise click.BadParameter(f"{size} bytes in hex are needed.", context, parameter)
        return found

    return convert


def _number(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """For an option that takes a number, also as 0x…."""
    try:
        return int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number.", context, parameter) from None


@click.group("id-block")
def id_block_group() -> None:
    """ID blocks: what an SEV-SNP guest must measure, signed by its owner."""


@id_block_group.command()
@click.option("--measurement", metavar="HEX", callback=_hex(48), help="The launch digest.")
@click.option("--launch", "document", metavar="FILE", type=_path, help="What 'fuki launch --json' printed of it.")
@click.option(
    "--policy", metavar="N", callback=_number, default=hex(DEFAULT_POLICY), help="Guest policy; by default 0x30000."
)
@click.option("--family-id", metavar="HEX", callback=_hex(16), default="00" * 16, help="16 bytes, zeros by default.")
@click.option("--image-id", metavar="HEX", callback=_hex(16), default="00" * 16, help="16 bytes, zeros by default.")
@click.option("--svn", metavar="N", callback=_number, default="0", help="Security version of the guest.")
@click.option("--id-key", metavar="TOML", required=True, help="""Such as 'backend = "local", key = "id.key"'.""")
@click.option("--author-key", metavar="TOML", help="The key that vouches for the id key, likewise.")
@click.option("-o", "--output", metavar="PREFIX", type=_path, help="Write PREFIX.id-block and PREFIX.id-auth.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def make(  # noqa: PLR0913, PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    measurement: bytes | None,
    document: Path | None,
    policy: int,
    family_id: bytes,
    image_id: bytes,
    svn: int,
    id_key: str,
    author_key: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make an ID block and sign it; prints QEMU's arguments and the digests of the keys."""
    from fuki_coco import id_blocks  # noqa: PLC0415 - cryptography is loaded only where something is signed

    if (measurement is None) == (document is None):
        raise click.UsageError("Give one of --measurement and --launch.")
    digest = measurement if measurement is not None else _measurement(document or Path())
    block = IdBlock(digest, policy, family_id, image_id, svn)
    encoded = id_block.encode_block(block)
    with ExitStack() as stack:
        key = stack.enter_context(signing_key(_table(id_key, "--id-key"), plugins, "id-key"))
        author = None
        if author_key is not None:
            author = stack.enter_context(signing_key(_table(author_key, "--author-key"), plugins, "author-key"))
        auth = id_blocks.sign(block, key, author)
    if output is not None:
        _write(output, encoded, id_block.encode_auth(auth))
    _show(block, auth, as_json=as_json)


@id_block_group.command()
@click.argument("block", type=_path)
@click.argument("auth", type=_path)
@click.option("--measurement", metavar="HEX", callback=_hex(48), help="The launch digest that it must be for.")
@click.option("--id-key-digest", metavar="HEX", callback=_hex(48), help="SHA-384 that the id key must have.")
@click.option("--author-key-digest", metavar="HEX", callback=_hex(48), help="SHA-384 that the author's key must have.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    block: Path,
    auth: Path,
    measurement: bytes | None,
    id_key_digest: bytes | None,
    author_key_digest: bytes | None,
    as_json: bool,
) -> None:
    """Verify the signatures of BLOCK in AUTH, binary files, and what they are to be. Exits with 3 if one is not."""
    from fuki_coco import id_blocks  # noqa: PLC0415 - as above

    try:
        found, keys = id_blocks.verify(_read(block, id_block.BLOCK_SIZE), _read(auth, id_block.AUTH_SIZE))
    except (FormatError, MismatchError) as error:
        raise error.at(f"{block}, {auth}") from error
    author = id_blocks.key_digest(keys.author_key) if keys.has_author else None
    for name, wanted, real in (
        ("launch digest", measurement, found.launch_digest),
        ("digest of the id key", id_key_digest, id_blocks.key_digest(keys.id_key)),
        ("digest of the author's key", author_key_digest, author),
    ):
        if wanted is not None and wanted != real:
            raise MismatchError(
                f"the {name} is {real.hex() if real else 'missing'}, not {wanted.hex()}", where=str(block)
            )
    _show(found, keys, as_json=as_json)


def _table(text: str, option: str) -> dict[str, Any]:
    """The keys of an inline table of TOML, with or without its braces."""
    inner = text.strip().removeprefix("{").removesuffix("}")
    try:
        table: dict[str, Any] = tomllib.loads(f"key = {{{inner}}}")["key"]
    except tomllib.TOMLDecodeError:
        hint = """quote values, as in: backend = "local", key = "id.key\""""
        raise RecipeError("this is no TOML", where=option, hint=hint) from None
    return table


def _measurement(path: Path) -> bytes:
    """The one SNP digest of a document of launches."""
    try:
        document = json.loads(_read(path, None))
        found = {
            launch["digest"] for launch in document["launches"] if launch["technology"] == "sev-snp"
        }  # fmt: skip
        digests = [bytes.fromhex(digest) for digest in found]
    except (ValueError, LookupError, TypeError) as error:
        raise FormatError("this is not what 'fuki launch --json' prints", where=str(path)) from error
    if len(digests) != 1:
        hint = "narrow it down to one: one VMM, vCPU model and number of vCPUs"
        raise RecipeError(f"there are {len(digests)} launch digests of SEV-SNP", where=str(path), hint=hint)
    return digests[0]


def _read(path: Path, size: int | None) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE)
    if size is not None and len(data) != size:
        raise FormatError(f"the file has {len(data)} bytes, not {size}", where=str(path))
    return data


def _write(prefix: Path, block: bytes, auth: bytes) -> None:
    with ExitStack() as stack:
        files = []
        for suffix, data in ((".id-block", block), (".id-auth", auth)):
            file = stack.enter_context(OutputFile(prefix.with_name(prefix.name + suffix)))
            file.write(data)
            files.append(file)
        for file in files:
            file.sync()
        for file in files:
            file.commit()
            click.echo(f"wrote {file.path}", err=True)


def _show(block: IdBlock, auth: IdAuth, *, as_json: bool) -> None:
    from fuki_coco import id_blocks  # noqa: PLC0415 - as above

    arguments = list(id_blocks.qemu_arguments(block, auth))
    facts = {
        "measurement": block.launch_digest.hex(),
        "policy": f"{block.policy:#x}",
        "family-id": block.family_id.hex(),
        "image-id": block.image_id.hex(),
        "svn": str(block.svn),
        "id-key-digest": id_blocks.key_digest(auth.id_key).hex(),
        "author-key-digest": id_blocks.key_digest(auth.author_key).hex() if auth.has_author else None,
    }
    if as_json:
        click.echo(json.dumps({"version": VERSION, **facts, "qemu": arguments}, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name:18} {value or '-'}")
    click.echo(shlex.join(arguments))
