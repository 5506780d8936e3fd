"""How much work something is: lines of code that run are counted, not seconds."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_of(work: Callable[[], object]) -> int:
    """Lines of fuki's own modules that run in `work`, those of comprehensions for each item."""
    count = 0

    def each(_: FrameType, event: str, __: Any) -> Any:  # noqa: ANN401 - what sys.settrace takes
        nonlocal count
        count += event == "line"
        return each

    def enter(frame: FrameType, _: str, __: Any) -> Any:  # noqa: ANN401 - what sys.settrace takes
        return each if "fuki_build" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
