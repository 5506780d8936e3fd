"""One reason not to release, and how places are named in it."""

from msgspec import Struct


class Reason(Struct, frozen=True):
    """`id` is that of a kind of reasons, `machines` those that it is about."""

    id: str
    message: str
    machines: tuple[str, ...] = ()


def place(profile: int | None, profile_id: str | None = None) -> str:
    """A profile in words."""
    if profile is None:
        return "base"
    return f"profile @{profile}" + (f" ({profile_id})" if profile_id else "")
