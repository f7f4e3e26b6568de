"""Options of several recurrent cells: what a training leaves out of the recurrence."""

from __future__ import annotations

from archsearch.spec.catalog import flag, real

DROPOUT = {
    "input_dropout": real(
        0.0,
        0.0,
        0.9,
        search=(0.0, 0.25),
        doc="share of the inputs that a sequence in training goes without",
    ).added_later(),
    "recurrent_dropout": real(
        0.0,
        0.0,
        0.9,
        search=(0.0, 0.25),
        doc="share of the state that the recurrent matrix of a sequence in training goes without",
    ).added_later(),
}
ZONEOUT = real(
    0.0,
    0.0,
    0.9,
    search=(0.0, 0.1),
    doc="how probably a unit stays as it was at a step of training; the mean afterwards",
).added_later()
CUT = flag(
    False, search=False, doc="no gradient to the state through the recurrent matrix that reads it"
).added_later()
