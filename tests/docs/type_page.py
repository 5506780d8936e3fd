"""The types that plugins handle, with their fields and methods, as their sources and docstrings tell of them."""

import ast
import enum
import inspect
from collections.abc import Iterator, Mapping
from textwrap import dedent

import msgspec

from fuki_build import hooks
from tests.docs.markdown import table

GROUPS: Mapping[str, tuple[str, ...]] = {
    "images": ("Layout", "Section", "Profile", "Slice", "FirmwareImage", "Blob", "StubVersion", "ImageKind", "Machine"),
    "checks": ("Rule", "CheckSubject", "Problem", "Finding", "Severity", "Expectation"),
    "sources": ("FirmwareSource", "SourceContext", "ContentWriter", "FirmwareFile"),
    "platforms": ("Platform", "TablePlatform", "LaunchSite"),
    "outputs": (
        "OutputFormat",
        "OutputContext",
        "PreviewContext",
        "PlannedFile",
        "Artifact",
        "Build",
        "BuiltImage",
        "Assembly",
        "DigestNeeds",
    ),
    "predictions": (
        "PredictionOutput",
        "PredictionOptions",
        "RegisterOptions",
        "Prediction",
        "Event",
        "PredictionsView",
    ),
    "signers": ("KeySigner", "SigningKey", "FileSigner", "SigningContext", "CertificateOptions", "KeyPreview"),
    "firmware": ("Enroller", "SecureBootKeys", "HandOver"),
    "launches": (
        "LaunchFormat",
        "LaunchOptions",
        "LaunchModel",
        "LaunchParameters",
        "DirectBoot",
        "Svsm",
        "RuntimeRegister",
        "LaunchPrediction",
        "LaunchDigest",
        "LaunchNote",
        "LaunchStep",
        "LaunchRecord",
        "LaunchRow",
        "LaunchDocument",
        "LaunchSearch",
        "NearLaunch",
    ),
    "documents": ("Document", "View", "Options", "HookDeprecationWarning"),
}
"""By part of the page; a test holds that each class of `fuki_build.hooks` is in one."""

NOT_PROMISED: Mapping[str, frozenset[str]] = {
    "Layout": frozenset(("`model`",)),
    "CheckSubject": frozenset(("`selector`",)),
    "Slice": frozenset(("`plain`", "`selectable`")),
    "Blob": frozenset(("`placed() -> Iterator[tuple[int, Part]]`",)),
}
"""Members with words that fuki's own checks use, and that are of types which may change."""

WITH_WORDS_ONLY = frozenset(("Layout", "Section", "Slice", "FirmwareImage", "Blob", "Assembly", "StubVersion"))
"""Classes of fuki's own inside, of which plugins are promised what has a docstring, and nothing else."""


def types(group: str) -> str:
    return "\n\n".join(_described(name) for name in GROUPS[group])


def _described(name: str) -> str:
    kind = getattr(hooks, name)
    parts = [f"### {name}", *_heading(kind)]

    hidden = NOT_PROMISED.get(name, frozenset())
    members = [member for member in _members(kind) if not member[0].startswith("`_") and member[0] not in hidden]
    if name in WITH_WORDS_ONLY:
        members = [member for member in members if member[3]]
    if fields := [row for row in members if "(" not in row[0]]:
        default = "value" if issubclass(kind, enum.Enum) else "by default"
        parts.append(table(*_without_empty_columns(("attribute", "of type", default, "is"), fields)))
    if methods := [row for row in members if "(" in row[0]]:
        parts.append(table(("method", "does"), [(row[0], row[3]) for row in methods]))
    return "\n\n".join(parts)


def _without_empty_columns(
    head: tuple[str, ...], rows: list[tuple[str, str, str, str]]
) -> tuple[list[str], list[list[str]]]:
    kept = [number for number in range(len(head)) if any(row[number] for row in rows)]
    return [head[number] for number in kept], [[row[number] for number in kept] for row in rows]


def _heading(kind: type) -> Iterator[str]:
    bases = [base.__name__ for base in kind.__bases__ if base.__name__ in hooks.__all__]
    if bases:
        yield "Derives from " + ", ".join(f"[{base}](#{base.lower()})" for base in bases) + "."
    text = inspect.cleandoc(kind.__doc__ or "").partition(">>>")[0].strip()
    if text:
        yield text


def _members(kind: type) -> Iterator[tuple[str, str, str, str]]:
    """What a class itself has: name or signature, type, default, and what it is."""
    (definition,) = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    following = [*definition.body[1:], ast.Pass()]
    for node, behind in zip(definition.body, following, strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = "" if node.value is None else f"`{ast.unparse(node.value)}`"
            yield f"`{node.target.id}`", _annotation(node.annotation), default, _string(behind) or _description(node)
        elif isinstance(node, ast.Assign) and issubclass(kind, enum.Enum):
            yield f"`{ast.unparse(node.targets[0])}`", "", f"`{ast.unparse(node.value)}`", _string(behind)
        elif isinstance(node, ast.FunctionDef):
            yield _function(node)


def _function(node: ast.FunctionDef) -> tuple[str, str, str, str]:
    text = _words(ast.get_docstring(node) or "")
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    returned = "" if node.returns is None else ast.unparse(node.returns).strip("'\"")
    if decorators & {"property", "cached_property"}:
        return f"`{node.name}`", f"`{returned}`", "", text

    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("cls, ")
    arguments = "" if arguments in ("self", "cls") else arguments
    kind = " To be written." if "abstractmethod" in decorators else ""
    return f"`{node.name}({arguments}) -> {returned}`", "", "", f"{text}{kind}"


def _annotation(node: ast.expr) -> str:
    """A type without what msgspec is told beside it."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Annotated", "ClassVar"):
        inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
        return _annotation(inner)
    return f"`{ast.unparse(node)}`"


def _description(node: ast.AnnAssign) -> str:
    """The `description` of a `Meta` in an annotation."""
    for part in ast.walk(node.annotation):
        if isinstance(part, ast.keyword) and part.arg == "description":
            if isinstance(part.value, ast.Constant):
                return str(part.value.value)
            return ast.unparse(part.value)
    return ""


def _string(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return _words(node.value.value)
    return ""


def _words(text: str) -> str:
    return " ".join(text.partition(">>>")[0].split())


def public_classes() -> set[str]:
    """The classes that plugins see; records of msgspec among them."""
    named = {name: getattr(hooks, name) for name in hooks.__all__}
    return {name for name, thing in named.items() if isinstance(thing, type) and thing is not msgspec.Struct}
