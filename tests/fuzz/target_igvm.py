from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.reader import Reader
from fuki_build.testing import igvm as written

HEADERS = [
    written.platform(1, written.SEV_SNP),
    written.platform(2, written.TDX),
    written.policy(1),
    written.area(0x2000),
    written.parameter(0x30C),
    written.page(0x1000, 0, mask=3),
    written.page(0x2000, 0, mask=3, flags=written.UNMEASURED),
    written.insert(0x3000, mask=3),
    written.context(0xFFFFFFFFF000, 0),
    written.snp_id_block(bytes(48)),
]


def seeds() -> Iterator[bytes]:
    for version in (1, 2):
        yield written.build(HEADERS, bytes(4096), version)
    yield written.build([written.platform(1, written.TDX), written.page(0, 64)], bytes(4096))


def run(data: bytes) -> None:
    with suppress(FormatError):
        file = igvm.decode(Reader.of(data))
        if file is not None:
            again = igvm.encode_head(file.directives, 0, file.header.version)
            decoded = igvm.decode(Reader.of(again))
            assert decoded is not None
            assert decoded.directives == file.directives
            for directive in file.directives:
                if isinstance(directive, igvm.PageData):
                    assert len(file.page(directive)) in (0, directive.size)
