"""A signed image with a damaged header or signature: fuki against sbverify and osslsigncode.

The first bytes of an input say which byte of the image becomes what; the rest is as it was. What fuki takes for valid,
sbverify has to accept. What both programs accept, fuki takes for valid, or names why not: they read what is not DER,
and do not look at what firmware looks at.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from struct import pack, unpack_from

from signing_programs import install_programs

from fuki_build.errors import FukiError
from fuki_build.image.inspect import inspect
from fuki_build.signing.authenticode.signature import SignatureVerdict
from fuki_build.signing.authenticode.trust import Database, Trust
from fuki_build.signing.authenticode.verify import verify
from fuki_build.testing.secure_boot import write_certificates
from tests.support.certificate_chains import LEAF, certify, data_of
from tests.support.signature_shapes import STRUCTURES, sign_image

from .helper import workspace

_CHANGES = 4
"""Bytes of an image that one input changes at most."""
_HEADER = 0x200
_KNOWN_REFUSALS = {SignatureVerdict.UNREADABLE, SignatureVerdict.MISMATCH, None}
"""What fuki says of images that others accept: no strict DER, a table that its entries do not fill, overlapping or
impossible headers. Never that a signature was forged, or that nobody trusted stands behind it."""


@cache
def _base() -> tuple[Path, bytes, int, bytes]:
    """A folder, a signed image, where its certificate table starts, and the trusted certificate."""
    directory = workspace()
    programs = directory / "programs"
    programs.mkdir()
    os.environ["PATH"] = os.pathsep.join((str(install_programs(programs)), os.environ["PATH"]))
    signer = certify("fuzz", LEAF)
    write_certificates(directory / "db.pem", signer.certificate)
    image = sign_image(STRUCTURES["7 bytes behind"](), signer, [data_of(signer)])
    return directory, image, len(STRUCTURES["8 bytes behind"]()), data_of(signer)


def seeds() -> Iterator[bytes]:
    for at in (0, 0x84, 0x98, 0x118, _HEADER, _HEADER + 2, _HEADER + 40, _HEADER + 300, _HEADER + 900, _HEADER + 1100):
        yield pack("<HB", at, 0x31)


def damaged(data: bytes) -> bytes:
    """The image that an input stands for: two bytes of a place, header or table, and one of a value, some times."""
    _, image, table, _ = _base()
    changed = bytearray(image)
    for number in range(min(len(data) // 3, _CHANGES)):
        place, value = unpack_from("<HB", data, 3 * number)
        size = _HEADER + len(image) - table
        place %= size
        changed[place if place < _HEADER else table + place - _HEADER] = value
    return bytes(changed)


def run(data: bytes) -> None:
    directory, _, _, certificate = _base()
    path = directory / "image.efi"
    path.write_bytes(damaged(data))
    verdict = _verdict(path, Trust(Database((certificate,))))
    by_sbverify = _accepts("sbverify", "--cert", directory / "db.pem", path)
    if verdict is SignatureVerdict.VALID:
        assert by_sbverify or _is_known_to_be_stricter(path), "fuki alone takes the image for valid"
    elif by_sbverify and _accepts("osslsigncode", "verify", "-CAfile", directory / "db.pem", "-in", path):
        assert verdict in _KNOWN_REFUSALS, f"others accept the image, and for fuki it is {verdict}"


def _verdict(path: Path, trust: Trust) -> SignatureVerdict | None:
    """None for what is no image to fuki."""
    try:
        return verify(inspect(path), trust).verdict
    except FukiError:
        return None


def _is_known_to_be_stricter(path: Path) -> bool:
    """sbverify takes entries of revision 2 only, and image digests that say of themselves that they are SHA-256."""
    layout = inspect(path)
    (revision,) = unpack_from("<H", path.read_bytes(), layout.headers.security.address + 4)
    report = verify(layout, Trust())
    return revision != 0x200 or any("says that its digest" in r for s in report.signatures for r in s.remarks)


def _accepts(program: str, *words: object) -> bool:
    command = [shutil.which(program) or program, *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
