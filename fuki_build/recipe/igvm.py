"""`igvm` of a `[[fuki.firmware]]`, and the options of `fuki firmware wrap`: firmware as an IGVM file."""

from collections.abc import Callable

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.confidential import id_block, igvm
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.formats.confidential.igvm.data_hobs import DataKind
from fuki_build.formats.pe import pe
from fuki_build.formats.uefi import authenticated_variable
from fuki_build.image.blob import Blob
from fuki_build.image.wrapping import GuestData, WrapSettings, wrap
from fuki_build.recipe.firmware_model import DataName, IgvmDataTable, IgvmTable

OpenFile = Callable[[str, str], Blob]
"""Opens the file that a key names, for errors `where`."""
Place = Callable[[str], str]
"""What errors call a key."""
KEYS = (DataName.PK, DataName.KEK, DataName.DB, DataName.DBX)
_MAX_KEY = 1024 * 1024


def wrap_firmware(table: IgvmTable, firmware: Blob, open_file: OpenFile, read: OpenFile, place: Place) -> Blob:
    """The file. `open_file` is for what becomes part of it, `read` for what is only looked at. Raises `RecipeError`."""
    _check_kinds(table, place)
    data = [_data(item, open_file, place(f"data[{index}].file")) for index, item in enumerate(table.data)]
    settings = WrapSettings(
        platforms=tuple(igvm.IgvmPlatform[platform.name] for platform in dict.fromkeys(table.platforms)),
        policy=table.policy,
        cpu_signature=table.cpu_signature,
        snp_parameters=table.snp_parameters,
        id_block=None if table.id_block is None else _id_block(table.id_block, read, place("id-block")),
        data_address=table.data_address,
    )

    with raised_as(RecipeError, place(""), of=FormatError):
        return wrap(firmware, settings, data)


def _check_kinds(table: IgvmTable, place: Place) -> None:
    kinds = [item.kind for item in table.data]
    for index, kind in enumerate(kinds):
        if kind in kinds[:index]:
            raise RecipeError(f"there are two data of kind {kind}", where=place(f"data[{index}].kind"))
    missing = [kind for kind in KEYS if kind not in kinds]
    if missing and len(missing) < len(KEYS):
        raise RecipeError(
            f"firmware takes keys only if all four are there, and {', '.join(missing)} is missing",
            where=place("data"),
            hint="'fuki keys update' makes an .auth file of any of them",
        )


def _data(item: IgvmDataTable, open_file: OpenFile, where: str) -> GuestData:
    content = open_file(item.file, where)
    with raised_as(RecipeError, where, of=FormatError, about=item.file):
        if item.kind in KEYS:
            _check_key(item, content)
        else:
            pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size)
    return GuestData(DataKind[item.kind.name], content)


def _check_key(item: IgvmDataTable, content: Blob) -> None:
    data = content.read_small(_MAX_KEY, f"the variable {item.kind}")
    if not authenticated_variable.is_authenticated(data):
        hint = "'fuki keys generate' and 'fuki keys update' make such files"
        raise FormatError("firmware takes keys as authenticated variables (.auth files) only", hint=hint)
    authenticated_variable.decode(data)


def _id_block(name: str, read: OpenFile, where: str) -> tuple[IdBlock, IdAuth]:
    block, auth = (read(f"{name}{suffix}", where) for suffix in (".id-block", ".id-auth"))
    with raised_as(RecipeError, where):
        return (
            id_block.decode_block(block.read_small(id_block.BLOCK_SIZE, "the ID block")),
            id_block.decode_auth(auth.read_small(id_block.AUTH_SIZE, "the ID authentication")),
        )
