"""What fuzz targets share: finding them, seeds from real parts, files to read from."""

import atexit
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

import parts

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.output_file import OutputFile
from fuki_build.image.plan import plan
from fuki_build.image.section import Section
from fuki_build.image.stub import decode_stub

_PREFIX = "target_"
NAMES = sorted(path.stem.removeprefix(_PREFIX) for path in Path(__file__).parent.glob(f"{_PREFIX}*.py"))


class Target(Protocol):
    seeds: Callable[[], Iterator[bytes]]
    run: Callable[[bytes], None]


def load(name: str) -> Target:
    return import_module(f"{__package__}.{_PREFIX}{name}")


@contextmanager
def memory_limit(size: int = 1024**3) -> Iterator[None]:
    """At most this many bytes more than there are: what wants more ends with MemoryError, not with the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def head(part: str, size: int) -> bytes:
    with parts.get(part).open("rb") as file:
        return file.read(size)


def tail(part: str, size: int) -> bytes:
    return parts.get(part).read_bytes()[-size:]


def workspace() -> Path:
    """A directory that goes away with the process."""
    directory = Path(tempfile.mkdtemp(prefix="fuki-fuzz-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def image(sections: Sequence[tuple[str, bytes, int | None]], stub: str | None = None) -> bytes:
    """A finished image of sections (name, content, profile), on a real stub or on none."""
    path = workspace() / "image.efi"
    layout = plan(
        Image(
            kind=ImageKind.UKI,
            name="image",
            machine=CoffMachine.x64,
            stub=decode_stub(parts.get(stub), parts.get(stub).read_bytes()) if stub else None,
            sections=tuple(
                Section(name=name, content=Blob.of_bytes(data), source="", profile=profile)
                for name, data, profile in sections
            ),
        )
    )
    with OutputFile(path) as output:
        assemble(layout, [output])
        output.commit()
    return path.read_bytes()
