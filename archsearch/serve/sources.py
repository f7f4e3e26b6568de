"""Gathers the source of some classes, and of all that they use, into the text of one module."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from archsearch.errors import InputError
from archsearch.serve.modules import (
    BY_NAME,
    Definition,
    Key,
    Module,
    read_module,
    require_imports_on_top,
)


class Sources:
    """The definitions behind some names, in an order in which each follows what it uses.

    Modules of the ``own`` packages are written out, others are imported. ``taken`` are names that
    the text around them needs for itself. Raises InputError for code that imports of those
    packages otherwise than by name at the top of a module.
    """

    def __init__(self, roots: Iterable[Key], own: Iterable[str], taken: Iterable[str]) -> None:
        self._own = frozenset(own)
        self._modules: dict[str, Module] = {}
        self._used: dict[Definition, list[tuple[str, tuple[Definition, str]]]] = {}
        self._final: dict[tuple[Definition, str], str] = {}
        ordered: dict[Definition, bool] = {}
        self._roots = {root: self._root(*root) for root in roots}
        for root, found in self._roots.items():
            if found is None:
                raise InputError(f"the source of {'.'.join(root)} cannot be found")
            self._visit(found[0], ordered)
        self._kept = self._settle_names(ordered, taken)

    def name(self, root: Key) -> str:
        """What a root is called in the text."""
        found = self._roots[root]
        return "" if found is None else self._final[found]

    def text(self) -> str:
        """Imports first, then the definitions."""
        imports = _joined(self._render(each) for each in self._kept if each.foreign)
        own = [self._render(each) for each in self._kept if not each.foreign]
        return "\n".join(imports) + "\n\n\n" + "\n\n\n".join(own)

    def _root(self, module: str, name: str) -> tuple[Definition, str] | None:
        """What a root stands for; one of another package is imported."""
        if module.partition(".")[0] in self._own:
            return self._resolve(module, name)
        node = ast.ImportFrom(module, [ast.alias(name)], 0)
        return Definition(module, (name,), node, ast.unparse(node), foreign=True), name

    def _visit(self, definition: Definition, ordered: dict[Definition, bool]) -> None:
        if definition in ordered:
            return
        ordered[definition] = False
        if not definition.foreign:
            require_imports_on_top(definition, self._own)
        for _, found in self._uses(definition):
            self._visit(found[0], ordered)
        # a definition comes after what it uses
        del ordered[definition]
        ordered[definition] = True

    def _uses(self, definition: Definition) -> list[tuple[str, tuple[Definition, str]]]:
        if definition not in self._used:
            names = () if definition.foreign else dict.fromkeys(_names_read(definition.node))
            known = ((name, self._resolve(definition.module, name)) for name in names)
            self._used[definition] = [
                (name, found)
                for name, found in known
                if found is not None and found[0] is not definition
            ]
        return self._used[definition]

    def _resolve(self, module: str, name: str) -> tuple[Definition, str] | None:
        """The definition that a name of a module stands for; None for a built-in or a local."""
        for _ in range(20):
            read = self._read(module)
            if name in read.defined:
                return read.defined[name], name
            if name not in read.elsewhere:
                return None
            here, (module, name) = module, read.elsewhere[name]
            if not name or not self._has(module, name):
                whole = f"{module}.{name}".rstrip(".")
                raise InputError(f"{here} imports the module {whole} as a whole; {BY_NAME}")
        raise InputError(f"the imports of {module} lead in a circle")

    def _has(self, module: str, name: str) -> bool:
        read = self._read(module)
        return name in read.defined or name in read.elsewhere

    def _read(self, name: str) -> Module:
        if name not in self._modules:
            own = name.partition(".")[0] in self._own
            self._modules[name] = Module()
            if own:
                read_module(name, self._own, self._modules[name])
        return self._modules[name]

    def _settle_names(
        self, ordered: Iterable[Definition], taken: Iterable[str]
    ) -> list[Definition]:
        """Give each definition a name of its own; equal ones of several modules become one."""
        used = set(taken)
        kept: list[Definition] = []
        for definition in ordered:
            twin = next((other for other in kept if self._same(definition, other)), None)
            for name in definition.names:
                if twin is not None:
                    self._final[definition, name] = self._final[twin, name]
                    continue
                final, count = name, 1
                while final in used:
                    count += 1
                    final = f"{name}_{count}"
                used.add(final)
                self._final[definition, name] = final
            if twin is None:
                kept.append(definition)
        return kept

    def _same(self, one: Definition, other: Definition) -> bool:
        if one.text != other.text or one.names != other.names:
            return False
        used, also = dict(self._uses(one)), dict(self._uses(other))
        return used.keys() == also.keys() and all(
            self._final.get(used[name]) == self._final.get(also[name]) for name in used
        )

    def _render(self, definition: Definition) -> str:
        names = {name: self._final[definition, name] for name in definition.names}
        names |= {name: self._final[found] for name, found in self._uses(definition)}
        changed = {name: final for name, final in names.items() if name != final}
        if not changed:
            return definition.text
        node = _Renaming(changed).visit(ast.parse(definition.text).body[0])
        return ast.unparse(node)


class _Renaming(ast.NodeTransformer):
    """Renames what a statement defines and uses, but not its functions' own variables."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names, self._top = names, True

    def visit(self, node: ast.AST) -> ast.AST:
        match node:
            case ast.Name():
                node.id = self._names.get(node.id, node.id)
                return node
            case ast.alias():
                bound = node.asname or node.name
                node.asname = self._names.get(bound, node.asname)
                return node
            case ast.FunctionDef() | ast.ClassDef() if self._top:
                self._top = False
                node.name = self._names.get(node.name, node.name)
        self._top = False
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            outer = self._names
            local = _locals(node)
            self._names = {name: final for name, final in outer.items() if name not in local}
            super().generic_visit(node)
            self._names = outer
            return node
        return super().generic_visit(node)


def _joined(imports: Iterable[str]) -> list[str]:
    """The import statements, one for each module that names are taken from."""
    plain: list[str] = []
    taken: dict[str, list[str]] = {}
    for statement in sorted(imports):
        origin, found, name = statement.partition(" import ")
        if found:
            taken.setdefault(origin, []).append(name)
        else:
            plain.append(statement)
    return plain + [f"{origin} import {', '.join(names)}" for origin, names in taken.items()]


def _names_read(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id


def _locals(node: ast.FunctionDef | ast.Lambda) -> set[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    stored = {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }
    return stored | {argument.arg for argument in named}
