"""torch's AdamW without the import of its compiler."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch.optim import Optimizer


class AdamW(torch.optim.AdamW):
    """:class:`torch.optim.AdamW` to the last bit, ready two seconds earlier.

    What torch wraps around an optimizer's methods matters to ``torch.compile`` alone, but imports
    the compiler at the first call: more processor time than many a training takes, and 100 MB.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
