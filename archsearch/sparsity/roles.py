"""Which matrices of a model a method may prune."""

from __future__ import annotations

from torch import nn

ROLES = ("input", "hidden", "channel", "attention")
WHICH = ("stages", "all", *ROLES)
# methods whose places are learned from nothing, so that there is nothing to compare them with
UNLEARNED = ("none", "random", "graph", "drawn", "teal", "wina", "r_sparse", "relufied")


def prunable(model: nn.Module, which: str = "stages") -> frozenset[str]:
    """Names of the matrices whose weights mean nothing at zero: those with weight decay.

    Parameters that a layer exempts from decay (biases, norms, the rates of a recurrence) are never
    pruned. ``stages`` leaves the embedding and the head dense, ``all`` does not; of the stages,
    ``hidden`` are the matrices that read the state before, ``attention`` the other ones of
    attention cells, ``input`` those of all other cells, and ``channel`` those of channel mixers.
    """
    exempt = model.no_decay() if hasattr(model, "no_decay") else frozenset()
    names = [
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and name not in exempt
    ]
    if which == "all":
        return frozenset(names)
    staged = [name for name in names if name.startswith("stages.")]
    if which == "stages":
        return frozenset(staged)
    found = roles(model)
    return frozenset(name for name in staged if found.get(name) == which)


def roles(model: nn.Module) -> dict[str, str]:
    """The role of every parameter of a cell or a channel mixer."""
    found = {name: "channel" for name, _ in model.named_parameters() if ".channel.layer." in name}
    # a cell within a cell comes after it and has the last word
    for place, module in model.named_modules():
        readers: frozenset[str] | None = getattr(module, "state_matrices", None)
        if readers is None or not hasattr(module, "role"):
            continue
        for name, _ in module.named_parameters():
            reads_state = any(name == start or name.startswith(f"{start}.") for start in readers)
            found[f"{place}.{name}"] = "hidden" if reads_state else str(module.role)
    return found
