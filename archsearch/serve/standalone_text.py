"""What stands around the network in a module of plain PyTorch, to be filled in."""

from __future__ import annotations

HEAD = '''"""{title}, written out by archsearch {version}; needs {packages} only.

    from model import load

    model = load()
    prediction, _ = model(x)                     # x: {inputs}
    state = model.initial_state(1)
    prediction, state = model.step(x_t, state)   # x_t: one time step of x
{prepared}{depth}"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
'''

PREPARED = """
x is not what stands in a file: PREPARATION, at the end, says how x was made of it (values less an
offset, over a scale; the numbers of classes and characters) and what the outputs stand for.
"""

TAIL = '''
SIGNATURE = {signature}
{preparation}

def build() -> {model}:
    """The network with its first weights."""
    stages = [
{stages}
    ]
    return {whole}


def load(weights: str | Path = Path(__file__).with_name("{weights}")) -> {model}:
    """The trained network, ready to predict."""
    model = build()
    model.load_state_dict({state})
    return model.eval().requires_grad_(False)
'''
