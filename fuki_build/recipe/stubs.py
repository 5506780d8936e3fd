"""The stub that an image or addon starts from: named by the recipe, or the machine's own where it says so."""

from pathlib import Path

from fuki_build.errors import FukiError, RecipeError, did_you_mean, raised_as
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.image.kernel import Kernel
from fuki_build.image.stub import STUB_FILES, Stub, check_program, decode_stub, decode_stub_headers
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import ImageTable

SYSTEM_STUBS = Path("/usr/lib/systemd/boot/efi")


def find_stub(
    table: ImageTable, kernel: Kernel | None, inputs: Inputs, *, program: str | None = "systemd-stub"
) -> Stub:
    """The image's stub, of this program of systemd's unless that is None.

    `RecipeError` if the recipe names none, or one of another architecture than it says.
    """
    where = "fuki.image.stub"
    if table.stub is None:
        hint = "give the path of linux<arch>.efi.stub, or 'auto' for this machine's"
        raise RecipeError("the image has no stub", where=where, hint=hint)

    if table.arch is not None and table.arch not in CoffMachine.__members__:
        hint = did_you_mean(table.arch, CoffMachine.__members__) or f"known: {', '.join(CoffMachine.__members__)}"
        raise RecipeError(f"unknown architecture {table.arch!r}", where="fuki.image.arch", hint=hint)

    arch = table.arch or (kernel.headers.machine_name if kernel and kernel.headers else "x64")
    stub = read_stub(table.stub, program, arch, inputs, where)

    if table.arch not in (None, stub.headers.machine_name):
        raise RecipeError(f"{stub.path} is for {stub.headers.machine_name}, the recipe says {table.arch}", where=where)
    return stub


def read_stub(value: str, program: str | None, arch: str, inputs: Inputs, where: str) -> Stub:
    """The stub at a path, or for `auto` the machine's own: of systemd's `program`, where it is one of systemd's."""
    path = (
        SYSTEM_STUBS / STUB_FILES[program or "systemd-stub"].replace("<arch>", arch)
        if value == "auto"
        else inputs.path(value, where)
    )
    if value == "auto" and not path.exists():
        hint = "install systemd-boot-efi (Fedora: systemd-boot-unsigned, Arch: systemd)"
        raise RecipeError(f"this machine has no {path}", where=where, hint=hint)

    file = inputs.blob(path, where)
    try:
        # Whole images are larger than stubs: say what they are before the size is an error.
        decode_stub_headers(path, file.read_at(0, pe.HEAD_SIZE), file.size)
        stub = decode_stub(path, inputs.read(path, where))
        if program is not None:
            check_program(stub, program)
    except RecipeError:
        raise
    except FukiError:
        with raised_as(RecipeError, where):
            raise

    if stub.headers.machine_name not in CoffMachine.__members__:
        raise RecipeError(f"{path} is for machine {stub.headers.machine_name}, which no UKI is made for", where=where)
    return stub
