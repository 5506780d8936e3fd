from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature


def seeds() -> Iterator[bytes]:
    entry = PolicySignature(pcrs=(11,), pkfp="00" * 32, pol="11" * 32, ref="initrd", sig="c2ln")
    yield pcrsig.encode({"sha256": (entry,)}, 400)
    yield pcrsig.encode({"sha1": (PolicySignature(pcrs=(11,), pkfp="00", pol="11", tbs="22"),), "sha512": ()})
    yield b"{}\0\0"


def run(data: bytes) -> None:
    with suppress(FormatError):
        policies = pcrsig.decode(data)
        assert pcrsig.decode(pcrsig.encode(policies)) == policies
        for _, entry in pcrsig.missing(policies):
            assert entry.message
