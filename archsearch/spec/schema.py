"""The space file as JSON Schema 2020-12, for editors, from the forms that also read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archsearch.spec.catalog import Catalog, LayerType
from archsearch.spec.forms import Form, Schema
from archsearch.spec.keys import DOCUMENT
from archsearch.spec.ranges import OptionValue
from archsearch.spec.sections import Section
from archsearch.spec.slots import LayerSlot, Open
from archsearch.spec.taskform import LABEL


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """JSON Schema of a space file over the layers of the catalog.

    It imports no plugin: of layers that are not loaded only the name is checked. Rules across
    keys are the reader's alone.
    """
    slots = {slot.kind: slot for slot in _slots(DOCUMENT)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archsearch space file, format 1",
        **DOCUMENT.schema(),
        "oneOf": [{"required": ["task"]}, {"required": ["tasks"]}],
        "$defs": {kind: _layer(slot, catalog) for kind, slot in slots.items()},
    }


def _slots(form: Form) -> Iterator[LayerSlot]:
    if isinstance(form, LayerSlot):
        yield form
    inner = [key.form for key in form.keys] if isinstance(form, Section) else [form.inner]
    for part in inner:
        if part is not None:
            yield from _slots(part)


def _layer(slot: LayerSlot, catalog: Catalog) -> Schema:
    """The bare name, or a mapping of the name and the options."""
    loaded = [entry for entry in catalog if entry.kind == slot.kind]
    unread = set(catalog.names(slot.kind)) - {entry.name for entry in loaded}
    forms: list[Schema] = [
        {"enum": sorted(catalog.names(slot.kind))},
        {"type": "string", "pattern": r"^[a-z0-9-]+\.[A-Za-z0-9_-]+$"},
    ]
    forms += [_mapping(entry, slot) for entry in loaded]
    if unread:
        names = {"name": {"enum": sorted(unread)}}
        forms.append({"type": "object", "properties": names, "required": ["name"]})
    return {"anyOf": forms}


def _mapping(declared: LayerType, slot: LayerSlot) -> Schema:
    name, source = declared.name, declared.distribution
    properties: dict[str, Schema] = {"name": {"enum": [name, f"{source}.{name}"]}}
    for key, option in declared.options.items():
        value = OptionValue(option, slot.open_)
        form = Open(value) if slot.open_ else value
        properties[key] = {"description": option.doc, **form.schema()}
    if slot.open_:
        properties["options"] = {"const": "search"}
    if slot.kind == "task":
        properties["label"] = LABEL.schema()
    return {
        "type": "object",
        "description": declared.doc,
        "properties": properties,
        "required": [] if name == slot.default else ["name"],
        "additionalProperties": False,
    }
