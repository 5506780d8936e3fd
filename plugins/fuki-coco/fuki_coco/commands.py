"""The verbs `fuki id-block` and `fuki reference-values`."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from fuki_build import json_option, key_table, prints, signing_key
from fuki_build.errors import FormatError, MismatchError, located
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.hooks import Document, LaunchRecord, encode_json

from fuki_coco.options import (
    block_options,
    hex_bytes,
    path_type,
    read_file,
    read_launches,
    write_files,
)

if TYPE_CHECKING:
    from fuki_coco.offline import IdBlockDigestsDocument

# cryptography and CBOR are slow to load, and needed only where something is signed or written.


class IdBlockDocument(Document, frozen=True, kw_only=True):
    """What `fuki id-block make`, `attach` and `verify` print with `--json`: an ID block, and who signed it.

    Ids and digests are in hex; `author_key_digest` is null without an author's key. `qemu` are arguments for QEMU.
    """

    measurement: str
    policy: int
    family_id: str
    image_id: str
    svn: int
    id_key_digest: str
    author_key_digest: str | None
    qemu: tuple[str, ...]


def _digests_document() -> "type[IdBlockDigestsDocument]":
    from fuki_coco.offline import IdBlockDigestsDocument  # noqa: PLC0415 - as above

    return IdBlockDigestsDocument


@click.group("id-block")
def id_block_group() -> None:
    """ID blocks: what an SEV-SNP guest must measure, signed by its owner."""


@id_block_group.command()
@block_options
@click.option("--id-key", metavar="TOML", required=True, help="""Such as 'backend = "local", key = "id.key"'.""")
@click.option("--author-key", metavar="TOML", help="The key that vouches for the id key, likewise.")
@click.option("-o", "--output", metavar="PREFIX", type=path_type, help="Write PREFIX.id-block and PREFIX.id-auth.")
@json_option(lambda: IdBlockDocument)
@click.pass_obj
def make(
    plugins: tuple[str, ...],
    block: IdBlock,
    id_key: str,
    author_key: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make an ID block and sign it; prints QEMU's arguments and the digests of the keys."""
    from fuki_coco import id_blocks  # noqa: PLC0415 - as above

    encoded = id_block.encode_block(block)

    with ExitStack() as stack:
        key = stack.enter_context(signing_key(key_table(id_key, "--id-key"), plugins, "id-key"))
        author = None
        if author_key is not None:
            author = stack.enter_context(signing_key(key_table(author_key, "--author-key"), plugins, "author-key"))
        auth = id_blocks.sign(block, key, author)

    if output is not None:
        _write(output, encoded, id_block.encode_auth(auth))
    _show(block, auth, as_json=as_json)


@id_block_group.command()
@prints(_digests_document)
@block_options
@click.option("--id-key", metavar="FILE", type=path_type, required=True, help="The public key in PEM.")
@click.option("--author-key", metavar="FILE", type=path_type, help="The author's public key in PEM.")
def digests(block: IdBlock, id_key: Path, author_key: Path | None) -> None:
    """Print, as JSON, what keys that are elsewhere have to sign for an ID block; 'attach' reads it back signed."""
    from fuki_coco import offline  # noqa: PLC0415 - as above

    author = read_file(author_key) if author_key else None
    document = offline.prepare(block, read_file(id_key), author)
    click.echo(encode_json(document), nl=False)


@id_block_group.command()
@click.argument("document", type=path_type)
@click.option(
    "-o", "--output", metavar="PREFIX", type=path_type, required=True, help="Write PREFIX.id-block and PREFIX.id-auth."
)
@json_option(lambda: IdBlockDocument)
def attach(document: Path, output: Path, as_json: bool) -> None:
    """Make an ID block of DOCUMENT, to whose digests signatures (base64) were added. They are verified."""
    from fuki_coco import offline  # noqa: PLC0415 - as above

    with located(str(document)):
        block, auth = offline.attach(read_file(document))
    _write(output, block, auth)
    _show(id_block.decode_block(block), id_block.decode_auth(auth), as_json=as_json)


@id_block_group.command()
@click.argument("block", type=path_type)
@click.argument("auth", type=path_type)
@click.option("--measurement", metavar="HEX", callback=hex_bytes(48), help="The launch digest that it must be for.")
@click.option("--id-key-digest", metavar="HEX", callback=hex_bytes(48), help="SHA-384 that the id key must have.")
@click.option("--author-key-digest", metavar="HEX", callback=hex_bytes(48), help="The same of the author's key.")
@json_option(lambda: IdBlockDocument)
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

    with located(f"{block}, {auth}", FormatError, MismatchError):
        verified, keys = id_blocks.verify(read_file(block, id_block.BLOCK_SIZE), read_file(auth, id_block.AUTH_SIZE))
    author = id_blocks.key_digest(keys.author_key) if keys.has_author else None
    for name, expected, real in (
        ("launch digest", measurement, verified.launch_digest),
        ("digest of the id key", id_key_digest, id_blocks.key_digest(keys.id_key)),
        ("digest of the author's key", author_key_digest, author),
    ):
        if expected is not None and expected != real:
            there = real.hex() if real else "missing"
            raise MismatchError(f"the {name} is {there}, not {expected.hex()}", where=str(block))
    _show(verified, keys, as_json=as_json)


def _write(prefix: Path, block: bytes, auth: bytes) -> None:
    names = {".id-block": block, ".id-auth": auth}
    write_files({prefix.with_name(prefix.name + suffix): data for suffix, data in names.items()})


def _show(block: IdBlock, auth: IdAuth, *, as_json: bool) -> None:
    from fuki_coco import id_blocks  # noqa: PLC0415 - as above

    document = IdBlockDocument(
        measurement=block.launch_digest.hex(),
        policy=block.policy,
        family_id=block.family_id.hex(),
        image_id=block.image_id.hex(),
        svn=block.svn,
        id_key_digest=id_blocks.key_digest(auth.id_key).hex(),
        author_key_digest=id_blocks.key_digest(auth.author_key).hex() if auth.has_author else None,
        qemu=tuple(id_blocks.qemu_arguments(block, auth)),
    )
    if as_json:
        click.echo(encode_json(document), nl=False)
        return

    for name, value in (
        ("measurement", document.measurement),
        ("policy", f"{document.policy:#x}"),
        ("family-id", document.family_id),
        ("image-id", document.image_id),
        ("svn", str(document.svn)),
        ("id-key-digest", document.id_key_digest),
        ("author-key-digest", document.author_key_digest or "-"),
    ):
        click.echo(f"{name:18} {value}")
    click.echo(shlex.join(document.qemu))


def _rvps(records: Sequence[LaunchRecord], _: str) -> bytes:
    from fuki_coco import reference  # noqa: PLC0415 - as above

    return reference.trustee_message(records)


def _contrast(records: Sequence[LaunchRecord], _: str) -> bytes:
    from fuki_coco import reference  # noqa: PLC0415 - as above

    return reference.contrast_manifest(records)


def _corim(records: Sequence[LaunchRecord], name: str) -> bytes:
    from fuki_coco import corim  # noqa: PLC0415 - as above

    return corim.encode(name, "", records)


_FORMS: Mapping[str, Callable[[Sequence[LaunchRecord], str], bytes]] = {
    "rvps": _rvps,
    "contrast": _contrast,
    "corim": _corim,
}


@click.command("reference-values")
@click.argument("form", type=click.Choice(sorted(_FORMS)))
@click.argument("launches", metavar="LAUNCHES", type=path_type)
@click.option(
    "-o", "--output", metavar="FILE", type=path_type, required=True, help="Where to write them; '-' is standard output."
)
@click.option("--name", default="guest", help="What a CoRIM calls the guest.")
@click.option("--key", metavar="TOML", help="""Sign a CoRIM, such as with 'backend = "local", key = "corim.key"'.""")
@click.pass_obj
def reference_values(
    plugins: tuple[str, ...], form: str, launches: Path, output: Path, name: str, key: str | None
) -> None:
    """Write what 'fuki launch --json' printed into LAUNCHES in the form of an attestation service."""
    if key is not None and form != "corim":
        raise click.UsageError("Only a CoRIM is signed.")
    data = _FORMS[form](read_launches(launches), name)
    if key is not None:
        from fuki_coco import corim  # noqa: PLC0415 - as above

        with signing_key(key_table(key, "--key"), plugins, "key") as opened:
            data = corim.sign(data, opened, name)
    if str(output) == "-":
        click.echo(data, nl=False)
    else:
        write_files({output: data})
