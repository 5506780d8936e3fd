"""Sizes for people."""

_UNITS = ("KiB", "MiB", "GiB")


def human_size(size: int) -> str:
    """`11.2 MiB` and the like; below 1 KiB, plain bytes."""
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1024**power:.1f} {_UNITS[power - 1]}"
