"""Jinja2 for texts of strangers: its sandbox, in which everything that is done is paid for from a budget.

Each value is weighed before something is done with it. What multiplies (a width, a repetition, a replacement) is paid
by what it would make, before it makes it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from string import Formatter
from typing import Any, ClassVar

from jinja2 import BaseLoader, StrictUndefined, TemplateNotFound, nodes
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats import documents
from fuki_build.image.blob import Blob
from fuki_build.recipe.budget import MAX_BITS, Budget

_MAX_SOURCE = 1024 * 1024
_OPERATION = 16
"""Steps for each thing that is done; a character of a value takes one."""
_SOURCE_COST = 8
"""Steps for each character of a template's source: it is compiled."""
_WIDTHS = frozenset({"center", "ljust", "rjust", "zfill", "to_bytes", "batch", "slice"})
"""Filters and methods where a number decides the size of the result, or the time."""
_SLOW = frozenset({"decode", "encode", "pprint", "striptags", "sum", "urlize", "wordwrap"})
"""Their time grows with the square of their input."""
_REPEATING = frozenset({"expandtabs", "indent", "join", "tojson", "translate", "urlize", "xmlattr"})
"""Filters and methods that put an argument, or spaces by number, to each item, line or character of what they take."""
_SLOW_SHIFT = 12
_PERCENT = re.compile(r"%(\([^)]*\))?[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?")
_DIGITS = re.compile(r"\d+")


def _widths(*texts: str | None) -> int:
    return sum(int(text[:20]) for text in texts if text and text != "*")


def _numbers(values: object) -> int:
    """The magnitude of the integers among values: those that `*` in a format takes for a width."""
    several = values if isinstance(values, tuple) else [values]
    return sum(abs(value) for value in several if isinstance(value, int))


class _Loader(BaseLoader):
    """Templates by name, from the first directory that has it; what was read is added to `files`."""

    def __init__(self, directories: Sequence[Path], files: set[Path]) -> None:
        self.directories = directories
        self.files = files

    def get_source(self, environment: Any, template: str) -> tuple[str, str, Callable[[], bool]]:  # noqa: ANN401, ARG002 - as Jinja2 has it
        for directory in self.directories:
            path = directory.joinpath(*split_template_path(template))
            if path.is_file():
                self.files.add(path)
                with raised_as(FormatError, of=FormatError, about=str(path)):
                    text = documents.decode_text(Blob.of_file(path).read_small(_MAX_SOURCE, "the template"))
                return text, str(path), lambda: True
        raise TemplateNotFound(template)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment for one rendering, or for several that share a budget."""

    intercepted_binops: ClassVar = frozenset({"+", "-", "*", "/", "//", "%", "**"})  # type: ignore[misc]

    def __init__(self, budget: Budget, directories: Sequence[Path] = (), *, autoescape: bool = False) -> None:
        self.files: set[Path] = set()
        super().__init__(
            loader=_Loader(directories, self.files),
            undefined=StrictUndefined,
            autoescape=autoescape,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self._finalized,
        )

        self.budget = budget
        # The same recipe gives the same image.
        del self.filters["random"], self.globals["lipsum"]
        self.filters = {name: self._guarded(name, function) for name, function in self.filters.items()}
        self.tests = {name: self._guarded(name, function) for name, function in self.tests.items()}
        self.filters["weighed"] = self._weighed

    def _finalized(self, value: Any) -> Any:  # noqa: ANN401 - any value of a template
        self.budget.spend(_OPERATION)
        return self._weighed(value)

    def _weighed(self, value: Any) -> Any:  # noqa: ANN401 - any value of a template
        self.budget.weigh(value)
        return value

    def step(self, size: int) -> str:
        """Spent by the code of each body, whenever it runs."""
        self.budget.spend(_OPERATION + size)
        return ""

    def _guarded(self, name: str, function: Any) -> Callable[..., Any]:  # noqa: ANN401 - any filter or test
        passes = getattr(function, "jinja_pass_arg", None) is not None

        @wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - any filter or test
            own = arguments[1:] if passes else arguments
            self._weigh_call(name, own, options)
            result = function(*arguments, **options)
            self.budget.weigh(result)
            return result

        return guarded

    def _weigh_call(self, name: str, values: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Spend what a filter, test or method of this name takes for `values`, the first being what it is called on."""
        self.budget.spend(_OPERATION)

        weights = [self.budget.weigh(value) for value in (*values, *options.values())]
        first, *others = weights or [0]

        # Searching one text in another.
        self.budget.spend(first * sum(others) >> _SLOW_SHIFT)
        if name in _SLOW:
            self.budget.spend(first * first >> _SLOW_SHIFT)

        numbers = _numbers((*values[1:], *options.values()))
        if name in _WIDTHS:
            self.budget.spend(numbers)
        elif name == "round":
            # It computes ten to the power of this.
            self.budget.spend(numbers * numbers)
        elif name in _REPEATING:
            self.budget.spend(first * (numbers + sum(others)))
        elif name == "replace":
            match values:
                case [str(text), str(old), str(new), *_] if not options:
                    self.budget.spend(text.count(old) * len(new))
                case _:
                    self.budget.spend(first * sum(others))
        elif name == "format" and values:
            self._weigh_percent(values[0], (*values[1:], *options.values()), sum(others))

    def _weigh_percent(self, text: object, values: object, weight: int) -> None:
        """Spend what `text % values` makes, the values having this weight together."""
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        for name, width, precision in _PERCENT.findall(str(text)):
            self.budget.spend(_widths(width, precision) + (weight if name else 1))
            if "*" in (width, precision):
                self.budget.spend(_numbers(values))

    def _weigh_braces(self, text: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        weight = self.budget.weigh(text, *arguments, *options.values())
        for _, name, form, _ in Formatter().parse(text):
            # One value may be named again and again.
            self.budget.spend(weight if name is not None else 1)
            self.budget.spend(_widths(*_DIGITS.findall(form or "")))
            if form and "{" in form:
                numbers = [value for value in (*arguments, *options.values()) if isinstance(value, str)]
                self.budget.spend(_widths(*(digits for value in numbers for digits in _DIGITS.findall(value))))
                self.budget.spend(_numbers((*arguments, *options.values())))

    def call(self, __context: Context, __obj: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401, PYI063 - as Jinja2 has it
        """Call what a template calls."""
        # The sandbox has a function of its own around str.format.
        method = getattr(__obj, "__wrapped__", __obj)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")

        self.budget.spend(_OPERATION)
        if isinstance(owner, str | bytes | int | float | list | tuple):
            if isinstance(owner, str) and name in ("format", "format_map"):
                self._weigh_braces(owner, arguments, options)
            elif isinstance(owner, str) and name == "join":
                self._weigh_call(name, (*arguments, owner), options)
            else:
                self._weigh_call(name, (owner, *arguments), options)
        else:
            self.budget.weigh(*arguments, *options.values())

        result = super().call(__context, __obj, *arguments, **options)
        self.budget.weigh(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - as Jinja2 has it
        """Compute what may be larger than its operands only where that can be paid."""
        self.budget.spend(_OPERATION)
        weights = self.budget.weigh(left), self.budget.weigh(right)
        if operator == "*":
            self._weigh_repetition(left, right, weights)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > MAX_BITS:
                raise RecipeError(f"a number has more than {MAX_BITS} bits", hint="use smaller numbers")
        elif operator == "%" and isinstance(left, str | bytes):
            self._weigh_percent(left, right, weights[1])

        result = super().call_binop(context, operator, left, right)
        self.budget.weigh(result)
        return result

    def _weigh_repetition(self, left: object, right: object, weights: tuple[int, int]) -> None:
        if isinstance(left, int) and not isinstance(right, int | float):
            self.budget.spend(max(left, 0) * weights[1])
        elif isinstance(right, int) and not isinstance(left, int | float):
            self.budget.spend(max(right, 0) * weights[0])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        self.budget.spend(len(source) * _SOURCE_COST)
        template = super()._parse(source, name, filename)
        _insert_steps(template)
        return template


def _insert_steps(template: nodes.Template) -> None:
    """Let each body that may run often, and each operation that Jinja2 does not let be overridden, spend."""
    bodies: list[Any] = list(template.find_all((nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)))
    for body in bodies:
        body.body.insert(0, _step(body))
    template.body.insert(0, _step(template))

    for compare in list(template.find_all(nodes.Compare)):
        compare.expr = _weighed(compare.expr)
        for operand in compare.ops:
            operand.expr = _weighed(operand.expr)

    for item in list(template.find_all(nodes.Getitem)):
        if isinstance(item.arg, nodes.Slice):
            item.node = _weighed(item.node)

    for concatenation in list(template.find_all(nodes.Concat)):
        concatenation.nodes = [_weighed(part) for part in concatenation.nodes]


def _step(body: nodes.Node) -> nodes.ExprStmt:
    size = 1 + sum(len(data.data) for data in body.find_all(nodes.TemplateData))
    line = body.lineno
    call = nodes.Call(
        nodes.EnvironmentAttribute("step", lineno=line), [nodes.Const(size, lineno=line)], [], None, None, lineno=line
    )
    return nodes.ExprStmt(call, lineno=line)


def _weighed(node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, "weighed", [], [], None, None, lineno=node.lineno)
