"""What the user asks for, read from the command line."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from fuki_build import find_machines, load_recipe, new_host, read_small_file
from fuki_build.errors import FukiError, RecipeError, located, raised_as
from fuki_build.formats.asn1 import x509 as keys

from fuki_attest import evidence
from fuki_attest.formats import certificate, tpm_quote
from fuki_attest.formats.snp_report import SnpTcb
from fuki_attest.image.shown import ShownView
from fuki_attest.pieces import Evidence, Item
from fuki_attest.verify.steps import AppraisalPolicy, EvidenceStep

_MAX_FILES = 64
_MAX_NONCE = 64
_MAX_KEY = 64 * 1024


def read_roots(directory: Path) -> tuple[x509.Certificate, ...]:
    """All certificates of a directory, each of which is a root. Raises `RecipeError`."""
    roots: list[x509.Certificate] = []
    for path in _files(directory, "--roots"):
        with raised_as(RecipeError, about=str(path)):
            roots += certificate.decode_chain(read_small_file(path, certificate.MAX_SIZE))
    if not roots:
        raise RecipeError(f"{directory} has no certificates", where="--roots")
    return tuple(roots)


def read_collateral(directory: Path) -> tuple[Item, ...]:
    """What a directory of collateral has: TCB info, identities, revocation lists, certificates. Raises `FukiError`."""
    return evidence.read(_files(directory, "--collateral")).items


def _files(directory: Path, option: str) -> Sequence[Path]:
    try:
        paths = sorted(path for path in directory.iterdir() if not path.is_dir())
    except OSError as error:
        raise RecipeError(f"cannot read {directory}: {error.strerror}", where=option) from error
    if len(paths) > _MAX_FILES:
        raise RecipeError(f"{directory} has {len(paths)} files, more than {_MAX_FILES}", where=option)
    return paths


def read_key(path: Path) -> bytes:
    """A public key in PEM or DER, or as a TPM writes it, as a SubjectPublicKeyInfo. Raises `FukiError`."""
    data = read_small_file(path, _MAX_KEY)
    with located(str(path)):
        try:
            return keys.read_public_key(data)
        except FukiError:
            return tpm_quote.decode_public(data)


def read_nonce(text: str | None, path: Path | None) -> bytes | None:
    """The challenge, in hex or from a file. Raises `RecipeError`."""
    if path is not None:
        with raised_as(RecipeError, "--nonce-file"):
            return read_small_file(path, _MAX_NONCE)
    if text is None:
        return None

    try:
        nonce = bytes.fromhex(text)
    except ValueError as error:
        raise RecipeError(f"{text!r} is not hexadecimal", where="--nonce") from error

    if not 1 <= len(nonce) <= _MAX_NONCE:
        raise RecipeError(f"a nonce has 1 to {_MAX_NONCE} bytes, not {len(nonce)}", where="--nonce")

    return nonce


def read_time(text: str | None) -> datetime:
    """A moment in ISO 8601, in UTC where it names no zone; now where none is given. Raises `RecipeError`."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write 2026-11-28 or 2026-11-28T12:00:00Z"
        raise RecipeError(f"{text!r} is no time", where="--at", hint=hint) from error
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def read_tcb(text: str | None) -> SnpTcb | None:
    """`boot-loader=3,tee=0,snp=8,microcode=115`; what is left out is 0. Raises `RecipeError`."""
    if text is None:
        return None
    names = {"boot-loader": "boot_loader", "tee": "tee", "snp": "snp", "microcode": "microcode", "fmc": "fmc"}
    values: dict[str, int] = {"boot_loader": 0, "tee": 0, "snp": 0, "microcode": 0}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in names or not number.isdecimal() or not number.isascii() or int(number[:4]) > 255:
            hint = "write boot-loader=3,tee=0,snp=8,microcode=115"
            raise RecipeError(f"{part!r} is no part of a TCB", where="--minimum-tcb", hint=hint)
        values[names[name]] = int(number)
    return SnpTcb(**values)


def join(given: Evidence, more: Sequence[Item]) -> Evidence:
    """The evidence, with the collateral behind it."""
    return Evidence((*given.items, *more))


def appraisal_policy(asked: Mapping[str, Any]) -> AppraisalPolicy:
    """What the options of the verb ask for, by their names. Raises `FukiError`."""
    return AppraisalPolicy(
        at=read_time(asked["at"]),
        roots=read_roots(asked["roots"]) if asked["roots"] else (),
        keys=tuple(read_key(path) for path in asked["trusted_keys"]),
        collateral=asked["collateral"] is not None,
        nonce=read_nonce(asked["nonce"], asked["nonce_file"]),
        minimum_tcb=read_tcb(asked["minimum_tcb"]),
        allow_debug=asked["allow_debug"],
        allow_migration=asked["allow_migration"],
    )


def compare(
    given: Evidence, plugins: Sequence[str], asked: Mapping[str, Any]
) -> tuple[list[EvidenceStep], list[ShownView]]:
    """The evidence against the image, if one was named. Raises `FukiError`."""
    image: Path | None = asked["image"]
    beside = ("recipe", "machine", "id_blocks", "id_key", "author_key", "host_data")
    if image is None:
        for name in beside:
            if asked[name] is not None:
                option = f"--{name.replace('_', '-')}"
                raise RecipeError(f"{option} says something of an image", where=option, hint="name it with --image")
        return [], []

    from fuki_attest.image import expectations  # noqa: PLC0415 - only where there is an image
    from fuki_attest.image.compare import ImageComparison  # noqa: PLC0415
    from fuki_attest.image.compare import compare as compare_image  # noqa: PLC0415

    host = new_host(plugins)
    recipe = load_recipe(asked["recipe"]) if asked["recipe"] else None
    if recipe is not None:
        host.load(recipe.recipe.plugins)
    expected = expectations.ImageExpectations(
        ids=expectations.read_id_blocks(asked["id_blocks"]) if asked["id_blocks"] else None,
        host_data=expectations.read_host_data(asked["host_data"]) if asked["host_data"] else None,
        id_key_digest=expectations.read_key_digest(asked["id_key"]) if asked["id_key"] else None,
        author_key_digest=expectations.read_key_digest(asked["author_key"]) if asked["author_key"] else None,
    )
    machines = find_machines(asked["machine"], Path(), host, "--machine") if asked["machine"] else None
    comparison = ImageComparison(image=image, host=host, recipe=recipe, machines=machines, expected=expected)
    return compare_image(given, comparison)
