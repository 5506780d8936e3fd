"""Sizes for people."""


def human_size(size: int) -> str:
    """`11.2 MiB` and the like; below 1 KiB, plain bytes."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            break
    return f"{value:.1f} {unit}"
