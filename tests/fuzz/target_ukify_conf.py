from collections.abc import Iterator
from contextlib import suppress
from copy import copy

import parts

from fuki_build.errors import FukiError
from fuki_build.ukify.arguments import parse
from fuki_build.ukify.configuration import apply, example

from .helper import workspace

_FILE = workspace() / "ukify.conf"
_OPTIONS = parse(["build"])

_FULL = b"""\
[UKI]
Linux=vmlinuz
Initrd=early.img odd.img
    late.img
Cmdline=quiet # a comment
OSRelease=@os-release
SBAT=sbat,1,x
 mine,1,x,x,1,x
PCRBanks=sha256, sha384
SecureBootCertificateValidity=30
SignKernel=yes

[PCRSignature:one]
PCRPrivateKey=pcr.key
Phases=enter-initrd enter-initrd:leave-initrd

[PCRSignature:two]
PCRPrivateKey=other.key
PCRPublicKey=other.pub
Unknown=x
"""
_REPEATED = (
    b"[DEFAULT]\n" + b"".join(b"a%d=\n" % i for i in range(5000)) + b"".join(b"[b%d]\n" % i for i in range(5000))
)


def seeds() -> Iterator[bytes]:
    yield _FULL
    yield example().encode()
    yield (parts.get("60-ukify").parents[1] / "uki.conf").read_bytes().replace(b"\n#", b"\n")
    yield _REPEATED


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        list(apply(copy(_OPTIONS), _FILE))
