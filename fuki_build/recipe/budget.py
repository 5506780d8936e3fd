"""What rendering may take: a number of characters and small steps, the same everywhere, without a clock."""

from collections.abc import Mapping

from fuki_build.errors import RecipeError

MAX_BITS = 8192
"""Of an integer: far more than any address or size has."""


class Budget:
    """What is left to spend; several texts may share one."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises `RecipeError` without a place when there is not as much left."""
        if steps > self.left:
            self.left = 0
            hint = "repeat less, or make this text outside and read it from a file"
            raise RecipeError(f"rendering this takes more than {self.steps} steps", hint=hint)
        self.left -= steps

    def weigh(self, *values: object) -> int:
        """The characters that values have as text, at least one each, found without making the text; spends them."""
        weight = 0
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            size = 1

            if isinstance(value, str | bytes | range):
                size += len(value)
            elif isinstance(value, int):
                bits = value.bit_length()
                if bits > MAX_BITS:
                    raise RecipeError(f"a number has more than {MAX_BITS} bits", hint="use smaller numbers")
                size += bits // 3
            elif isinstance(value, Mapping):
                self.spend(len(value))
                waiting.extend(value)
                waiting.extend(value.values())
            elif isinstance(value, list | tuple | set | frozenset):
                self.spend(len(value))
                waiting.extend(value)

            self.spend(size)
            weight += size
        return weight
