"""Verbs as the command line runs them, on files of anyone; whatever these are, the end is data or one clear error."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fuki_build.testing import invoke

from . import target_event_log, target_inspect, target_machine, target_smbios
from .helper import image, memory_limit, workspace

_DIRECTORY = workspace()
_IMAGE = "whole.efi"
_VERBS = (
    "inspect FILE --digests",
    "inspect FILE --json",
    "inspect FILE --extract .cmdline -o -",
    "check FILE",
    "verify FILE",
    "verify whole.efi --certificate FILE --json",
    "verify whole.efi --db FILE",
    "digests FILE",
    "attach whole.efi --signatures FILE -o attached.efi",
    "firmware show FILE",
    "hwids decode FILE",
    "hwids diff FILE FILE",
    "match FILE --platform qemu",
    "measure FILE --platform qemu --events",
    "release FILE FILE --json --allow version-not-newer",
    "release FILE whole.efi",
    "release whole.efi FILE --platform qemu",
    "replay FILE",
    "replay FILE --json --image whole.efi",
    "machine show FILE",
    "machine show FILE --json",
    "report FILE -o -",
    "sign whole.efi --key FILE --certificate FILE -o signed.efi",
    "launch FILE",
    "--plugin coco launch FILE",
    "--plugin coco reference-values corim FILE -o values",
    "--plugin coco id-block attach FILE -o block",
    "edit FILE -o edited.efi",
    "diff FILE whole.efi --forbid sections --forbid sbat",
    "diff whole.efi FILE --platform qemu --json",
    "edit FILE --set .cmdline=x --set .osrel=ID=x --add-initrd FILE -o edited.efi",
    "edit FILE --firmware a=FILE --chid 01e09b32-de05-56ca-b9d1-9486ad5f381d --remove .cmdline -o edited.efi",
    "edit whole.efi --set .initrd=@FILE:.initrd --set .hwids=@FILE:.hwids -o edited.efi",
    "edit FILE --no-hand-over --add-profile other --stub FILE -o edited.efi",
)
_CODES = range(6)
_STEERS = re.compile(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _certificate() -> bytes:
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme")])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day.replace(year=2040))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return pem + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _number(verb: str) -> bytes:
    return bytes([next(number for number, line in enumerate(_VERBS) if verb in line)])


def seeds() -> Iterator[bytes]:
    images = list(target_inspect.seeds())
    for number, line in enumerate(_VERBS):
        if "attach" not in line and "reference" not in line:
            yield bytes([number]) + images[number % len(images)]

    for verb in ("--certificate FILE --json", "--key FILE"):
        yield _number(verb) + _certificate()

    log = min(target_event_log.seeds(), key=len)
    yield _number("replay FILE") + log
    yield _number("replay FILE --json") + log

    for machine in (*target_smbios.seeds(), *target_machine.seeds()):
        yield _number("machine show FILE") + machine

    yield _number("--signatures") + b'{"version":1,"image":"a","digests":[]}'
    yield _number("reference-values") + b'{"version":1,"launches":[],"notes":[]}'


def run(data: bytes) -> None:
    if not data:
        return
    if not (_DIRECTORY / _IMAGE).exists():
        (_DIRECTORY / _IMAGE).write_bytes(image([(".cmdline", b"quiet", None)]))

    (_DIRECTORY / "FILE").write_bytes(data[1:])
    verb = _VERBS[data[0] % len(_VERBS)]
    with memory_limit():
        outcome = invoke(_DIRECTORY, *verb.split())

    assert outcome.code in _CODES, outcome
    assert "internal error" not in outcome.err, outcome.err
    assert "plugin's authors" not in outcome.err, outcome.err
    assert not _STEERS.search(outcome.err), ascii(outcome.err)

    if "--extract" not in verb:
        assert not _STEERS.search(outcome.out), ascii(outcome.out)
