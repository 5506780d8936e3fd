"""What the hand-over program left at this start, as Linux shows EFI variables (efivarfs), to everybody."""

from pathlib import Path

from fuki_build.errors import FormatError, FukiError, located
from fuki_build.formats.uki.hand_over_outcome import MAX_SIZE, NAME, VENDOR, VERSION, HandOverOutcome, decode

EFI_VARIABLES = Path("/sys/firmware/efi/efivars")
FILE_NAME = f"{NAME}-{VENDOR}"
_ATTRIBUTES = 4
"""Bytes that efivarfs puts before a variable's content."""


def read_outcome(path: Path = EFI_VARIABLES) -> HandOverOutcome | None:
    """The outcome in a directory of EFI variables, or in a file with that one, with or without its attributes.

    None where a directory has none: the image has no hand-over program, or the machine no EFI. Raises `FukiError` where
    it cannot be read.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_SIZE + 1)
    except FileNotFoundError:
        if file is not path or path == EFI_VARIABLES:
            return None
        raise FukiError("there is no such file", where=str(file)) from None
    except OSError as error:
        raise FukiError(f"cannot be read: {error.strerror}", where=str(file)) from error

    if len(data) > MAX_SIZE:
        raise FormatError(f"more than {MAX_SIZE} bytes are no variable {NAME}", where=str(file))
    has_attributes = int.from_bytes(data[:2], "little") != VERSION
    with located(str(file)):
        return decode(data[_ATTRIBUTES:] if has_attributes else data)
