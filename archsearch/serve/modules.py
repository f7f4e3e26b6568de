"""What the top-level names of a module stand for: code of its own, or what it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import resolve_name
from types import ModuleType
from typing import TypeAlias

from archsearch.errors import InputError

Key: TypeAlias = tuple[str, str]

# names a function's faster forms, which are no plain PyTorch: what it decorates does without
FASTER = "accelerated"
BY_NAME = "import by name what is used of it"


@dataclass(frozen=True, eq=False)
class Definition:
    """One top-level statement of a module: an import of foreign code, or code of our own."""

    module: str
    names: tuple[str, ...]
    node: ast.stmt
    text: str
    foreign: bool = False


@dataclass(frozen=True)
class Module:
    """What the top-level names of a module stand for: a definition, or another module's name."""

    defined: dict[str, Definition] = field(default_factory=dict)
    elsewhere: dict[str, Key] = field(default_factory=dict)


def read_module(name: str, own: frozenset[str], into: Module) -> None:
    """Fill ``into``; InputError for source that is not there, or imports that tell no names."""
    module = import_module(name)
    # the source of an empty module is none to inspect, which is no reason to refuse it
    read = getattr(module.__loader__, "get_source", None)
    source = None if read is None else read(name)
    if source is None:
        raise InputError(f"the source of {name} cannot be found")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        match node:
            case ast.ImportFrom(module=str(origin)) if origin == "__future__":
                continue
            case ast.ImportFrom() if _root(_origin(node, module)) in own:
                origin = _origin(node, module)
                for alias in node.names:
                    if alias.name == "*":
                        raise InputError(f"{name} imports all of {origin}; {BY_NAME}")
                    into.elsewhere[alias.asname or alias.name] = (origin, alias.name)
            case ast.ImportFrom() | ast.Import():
                for alias in node.names:
                    if isinstance(node, ast.Import) and _root(alias.name) in own:
                        into.elsewhere[alias.asname or _root(alias.name)] = (alias.name, "")
                        continue
                    single = type(node)(**{**vars(node), "names": [alias]})
                    bound = alias.asname or alias.name.partition(".")[0]
                    into.defined[bound] = Definition(
                        name, (bound,), single, ast.unparse(single), foreign=True
                    )
            case _:
                if isinstance(node, ast.FunctionDef):
                    node.decorator_list = [d for d in node.decorator_list if not _is_faster(d)]
                begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
                text = "\n".join(lines[begin - 1 : node.end_lineno])
                bound_names = tuple(dict.fromkeys(_names_bound(node)))
                definition = Definition(name, bound_names, node, text)
                into.defined.update(dict.fromkeys(bound_names, definition))


def packages_of(text: str) -> list[str]:
    """The installed packages that the text of a module imports, wherever it does."""
    found = set()
    for node in _statements(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found |= {_root(alias.name) for alias in names}
            case ast.ImportFrom(module=str(origin)):
                found.add(_root(origin))
    return sorted(found - sys.stdlib_module_names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within a statement; expressions, which are most of a module, have none."""
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, ast.expr):
            yield inner
            yield from _statements(inner)


def _origin(node: ast.ImportFrom, module: ModuleType) -> str:
    """The full name of the module that a statement of ``module`` imports from."""
    relative = "." * node.level + (node.module or "")
    return resolve_name(relative, module.__package__)


def _root(name: str) -> str:
    return name.partition(".")[0]


def require_imports_on_top(definition: Definition, own: frozenset[str]) -> None:
    """Raise InputError for an import of ``own`` packages within a definition, which stays there."""
    for inner in ast.walk(definition.node):
        match inner:
            case ast.ImportFrom(level=level, module=origin):
                mine = level > 0 or _root(origin or "") in own
            case ast.Import(names=names):
                mine = any(_root(alias.name) in own for alias in names)
            case _:
                continue
        if mine:
            raise InputError(
                f"{definition.module} has '{ast.unparse(inner)}' inside other code; "
                "import it at the top of the module"
            )


def _is_faster(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Call(func=ast.Name(id=name)):
            return name == FASTER
    return False


def _names_bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
