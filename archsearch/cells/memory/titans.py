"""Titans' long-term memory, alone or together with attention."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import gelu, silu

from archsearch.cells.cell import State
from archsearch.cells.memory.beside_attention import Context, Gate, Tokens, attended, in_segments
from archsearch.cells.memory.neural_memory import NeuralMemory
from archsearch.errors import ArchitectureError
from archsearch.kernels.memories.descent.descent_memory import whole
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.projected import projected


class Titans(NeuralMemory):
    """The memory learns by gradient descent on |M(k) - v|^2 / 2, with momentum and forgetting.

    eta, theta and alpha are logistic functions of x_t per head (Behrouz, Zhong & Mirrokni 2024,
    arXiv 2501.00663, equations 9 to 14; half the squared error). Without momentum and forgetting
    a linear memory with chunks of one is DeltaNet, theta its writing strength.

    ``integration`` puts causal attention A with rotary positions and ``persistent`` learned tokens,
    seen from everywhere, beside the memory (section 4). With o = rms(y) sigmoid(rms(m)):
    ``layer`` (MAL): A over the last ``window`` of M(x_1) ... M(x_t).
    ``gate`` (MAG): o_t of A over the last ``window`` of x_1 ... x_t and of M(x_t).
    ``context`` (MAC): the memory W at the start of each segment of ``window`` positions is read,
    h_i = M(W; silu(W_q x_i)) without a convolution, y_i is A over all h_j and x_j of the segment
    with j <= i, and o_i of y_i and of M(y_i), which learns from y. ``window`` is a multiple of
    ``chunk``. Going segment by segment it is the slowest.

    The state is then that of the memory, that of A, keys and values of up to window - 1 positions,
    and in a context B and p of the segment's start.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        depth: int = 2,
        expand: int = 2,
        chunk: int = 8,
        rate: float = 1.0,
        momentum: bool = True,
        forget: bool = True,
        integration: str = "memory",
        window: int = 16,
        persistent: int = 4,
    ) -> None:
        sizes = (width, heads, depth, expand, chunk, rate)
        super().__init__(*sizes, Rule(), momentum=momentum, forget=forget)
        self.integration = integration
        if integration == "memory":
            return
        if integration == "context":
            if window % chunk:
                fitting = -(-window // chunk) * chunk
                raise ArchitectureError(
                    f"window {window} is no multiple of chunk {chunk}; take a window of {fitting}"
                )
            self.attention: Tokens = Context(width, heads, window, persistent)
        else:
            self.attention = Tokens(width, heads, "window", window, persistent)
        self.gate = None if integration == "layer" else Gate(width)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if self.integration == "memory":
            return super().forward(x, state)
        begun = self.initial_state(len(x)) if state is None else state
        given = self, self.attention, self.gate, x, begun, state is None
        return in_segments(*given) if self.integration == "context" else attended(*given)

    def frozen(self, state: State) -> State:
        past, _, _, (share, _), _, _ = state
        return past, share

    def recall(self, x: Tensor, frozen: State) -> Tensor:
        past, share = frozen
        q = silu(projected(self.project, x)[..., : self.width]).unflatten(-1, (self.heads, -1))
        weights = whole(past, share, tuple(self.start))
        q, *weights = one_type(unit_length(q).transpose(1, 2), *weights)  # (B, H, T, d)
        inner = q @ weights[0].mT
        read = inner if self.depth == 1 else q + gelu(inner) @ weights[1].mT
        normed = gated_norm(read.transpose(1, 2), self.norm.weight, None)
        return projected(self.output, normed.to(x.dtype))

    def initial_state(self, batch: int) -> State:
        state = super().initial_state(batch)
        if self.integration == "memory":
            return state
        both = state, self.attention.initial_state(batch)
        return (*both, self.frozen(state)) if self.integration == "context" else both
