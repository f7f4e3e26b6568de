"""A small network learns to compute what a large one computes, instead of the labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.spec.signature import Signature
from archsearch.train.exits import answers
from archsearch.train.judge import evaluating
from archsearch.train.supervision import supervision_of
from archsearch.train.tensors import Tensors


class Matching:
    """The mean squared difference to what a frozen teacher says of the very same inputs.

    Of classes it is that of the logits (Tang et al. 2019, arXiv 1903.12136). Inputs that are
    numbers are mixed, each sequence with another one in a proportion of its own, and the teacher
    sees the mixture (function matching: Beyer et al. 2021, arXiv 2106.05237). The proportions come
    from torch's own generator, which a checkpoint holds. Exits that are trained match it, too.
    """

    def __init__(self, teacher: nn.Module, mixed: bool = True) -> None:
        self.teacher, self.mixed = teacher.requires_grad_(requires_grad=False), mixed

    def __call__(self, model: nn.Module, batch: Tensors, signature: Signature) -> Tensor:
        if self.mixed and signature.inputs == "values":
            batch = mixture(batch)
        with evaluating(self.teacher), torch.no_grad():
            wanted, _ = self.teacher(batch.inputs, batch.lengths)
        wanted = wanted if batch.mask is None else wanted[batch.mask]

        def missed(said: Tensor) -> Tensor:
            return functional.mse_loss(said if batch.mask is None else said[batch.mask], wanted)

        supervision = supervision_of(model)
        if supervision is None:
            said, penalty = model(batch.inputs, batch.lengths)
            return missed(said) + penalty
        every, penalty = answers(model, batch.inputs, batch.lengths)
        return supervision.total([missed(said) for said in every]) + penalty


def mixture(batch: Tensors) -> Tensors:
    """Every sequence mixed with the one that stands in its place in the reversed batch.

    The mixture is as long as the longer of the two, whose steps count. The targets stay as they
    are: they are not those of the mixture, and nothing may be trained on them.
    """
    share = torch.rand(len(batch.inputs)).to(batch.inputs)
    share = share.view(-1, *(1,) * (batch.inputs.ndim - 1))  # (batch, 1, 1)
    inputs = share * batch.inputs + (1 - share) * batch.inputs.flip(0)
    lengths = torch.maximum(batch.lengths, batch.lengths.flip(0))
    mask = None if batch.mask is None else batch.mask | batch.mask.flip(0)
    return Tensors(inputs, lengths, batch.targets, mask)
