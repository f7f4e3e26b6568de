"""The promises of a cell as tests; a plugin's author inherits them.

    class TestLeaky(CellContract):
        cell_type = LEAKY

Every test runs on every declared choice. Numbers G1 ... G8 name the promise that a failure broke.
"""

from __future__ import annotations

import inspect
import itertools
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from archsearch.cells.cell import Cell, State
from archsearch.plugins import implementation
from archsearch.spec.catalog import CellType
from archsearch.testing.half_precision import check_half_precision
from archsearch.testing.probe import unsound
from archsearch.testing.states import flatten, pick
from archsearch.testing.variants import Options, variants


class CellContract:
    """Subclass it with ``cell_type``; set ``width`` when 16 does not suit, and offer
    ``parameters`` to have the number of parameters checked."""

    cell_type: ClassVar[CellType]
    width: ClassVar[int] = 16
    rows: ClassVar[int] = 3
    steps: ClassVar[int] = 37  # no multiple of any chunk
    leak: ClassVar[float] = 0.0
    """What a transform's rounding may carry from the future, as a share of its size (1e-6)."""

    def parameters(self, width: int, options: Options) -> int | None:
        """The number of parameters in closed form; None leaves it unchecked."""
        return None

    # -- how the tests get their cells ------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            yield
        torch.set_num_threads(threads)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "options" in metafunc.fixturenames:
            metafunc.parametrize("options", _cases(type(self)))

    def build(self, options: Options, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Cell:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cell = implementation(self.cell_type)(self.width, **options)
        return cell.to(dtype)  # type: ignore[no-any-return]

    def drawn_after(self, options: Options, seed: int) -> float:
        """The number that torch's generator gives next, once a cell is built."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            implementation(self.cell_type)(self.width, **options)
            return torch.rand(()).item()

    def inputs(self, steps: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(self.rows, steps, self.width, dtype=dtype)

    def some_state(self, cell: Cell, dtype: torch.dtype = torch.float64) -> State:
        """A state that a few random inputs leave behind."""
        with torch.no_grad():
            return cell(self.inputs(5, dtype))[1]

    def unrolled(self, cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for x_t in x.unbind(1):
            y_t, state = cell.step(x_t, state)
            outputs.append(y_t)
        return torch.stack(outputs, 1), state

    # -- what is owed -----------------------------------------------------------------------

    def test_declaration_is_the_constructor(self) -> None:
        signature = inspect.signature(implementation(self.cell_type))
        accepted = {
            name: parameter.default
            for name, parameter in list(signature.parameters.items())[1:]
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        }
        declared = {name: option.default for name, option in self.cell_type.options.items()}
        assert accepted == declared, "declared options and defaults are the constructor's"
        assert next(iter(signature.parameters)) == "width"
        causal = getattr(implementation(self.cell_type), "causal", True)
        assert causal == self.cell_type.causal, "the class and its declaration agree on causality"
        assert self.cell_type.doc, "a declaration says in a sentence what the cell is"

    def test_names_without_decay_exist(self) -> None:
        cell = self.build({})
        assert isinstance(cell, Cell), "a cell is derived from archsearch.cells.cell.Cell"
        assert cell.no_decay <= {name for name, _ in cell.named_parameters()}

    def test_shapes_and_state(self, options: Options) -> None:
        shapes = [(torch.float32, *shape) for shape in itertools.product((1, 3), (1, 2, 37))]
        for dtype, rows, steps in (*shapes, (torch.float64, 2, 3)):
            cell = self.build(options, dtype=dtype)
            x = torch.randn(rows, steps, self.width, dtype=dtype)
            y, state = cell(x)
            assert y.shape == x.shape, f"{rows} rows of {steps} steps"
            states = [state, cell.initial_state(rows)]
            if self.cell_type.has_step:
                y_t, stepped = cell.step(x[:, 0], cell.initial_state(rows))
                assert y_t.shape == (rows, self.width)
                assert y_t.dtype == x.dtype, "outputs of step are of the input's dtype"
                states.append(stepped)
            assert y.dtype == x.dtype, "outputs are of the input's dtype"
            for after in states:
                assert not unsound(after, rows), unsound(after, rows)
                for part in flatten(after):
                    kind = part.real.dtype if part.is_complex() else part.dtype
                    assert not kind.is_floating_point or kind == dtype, (
                        f"a state is of the parameters' dtype, {dtype}, got {part.dtype}"
                    )
        # a device that every machine has
        for part in flatten(self.build(options).to("meta").initial_state(2)):
            assert part.is_meta, "a state is on the parameters' device"

    # torch says that its norm is slower so
    @pytest.mark.filterwarnings("ignore:Mismatch dtype")
    def test_half_precision(self) -> None:
        if not self.cell_type.half_precision:
            pytest.skip("declared without half precision")
        for dtype in (torch.float32, torch.bfloat16):
            check_half_precision(self.build({}, dtype=dtype), self.inputs(9, dtype))

    def test_inputs_are_left_alone(self, options: Options) -> None:
        cell = self.build(options)
        x, state = self.inputs(9), self.some_state(cell)
        kept = [part.clone() for part in (x, *flatten(state))]
        with torch.no_grad():
            y, _ = cell(x, state)
            if self.cell_type.has_step:
                cell.step(x[:, 0], state)
            scattered = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
            again, _ = cell(scattered, state)
        for part, before in zip((x, *flatten(state)), kept, strict=True):
            assert torch.equal(part, before), "inputs and states are never written to"
        _close(again, y, 1e-10)

    @pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
    def test_g1_step_equals_forward(
        self, options: Options, dtype: torch.dtype, within: float
    ) -> None:
        if not self.cell_type.has_step:
            pytest.skip("declared without a step")
        cell = self.build(options, dtype=dtype)
        x, state = self.inputs(self.steps, dtype), self.some_state(cell, dtype)
        y, after = cell(x, state)
        y_steps, after_steps = self.unrolled(cell, x, state)
        _close(y, y_steps, within)
        _close_states(after, after_steps, within)
        _close(cell(x)[0], cell(x, cell.initial_state(self.rows))[0], within)

    def test_g1_step_has_the_gradients_of_forward(self, options: Options) -> None:
        if not self.cell_type.has_step:
            pytest.skip("declared without a step")
        cell = self.build(options)
        x, state = self.inputs(self.steps).requires_grad_(), self.some_state(cell)
        weight = torch.randn_like(x)
        wanted = (x, *cell.parameters())
        whole = torch.autograd.grad(cell(x, state)[0], wanted, weight, allow_unused=True)
        stepped = torch.autograd.grad(
            self.unrolled(cell, x, state)[0], wanted, weight, allow_unused=True
        )
        for fast, slow in zip(whole, stepped, strict=True):
            assert (fast is None) == (slow is None)
            if fast is not None and slow is not None:
                _close(fast, slow, 1e-6)

    def test_g2_no_output_sees_its_future(self, options: Options) -> None:
        if not self.cell_type.causal:
            pytest.skip("declared as not causal")
        cell = self.build(options)
        x, state = self.inputs(self.steps), self.some_state(cell)
        for cut in (1, 18, self.steps - 1):
            changed = x.clone()
            changed[:, cut:] = 30 * torch.randn_like(changed[:, cut:])
            x.requires_grad_()
            y = cell(x, state)[0]
            (gradient,) = torch.autograd.grad(y[:, :cut].sum(), x)
            x = x.detach()
            _close(cell(changed, state)[0][:, :cut], y[:, :cut], self.leak)
            assert gradient[:, cut:].abs().max() <= self.leak * gradient.abs().max()

    def test_g3_a_cut_changes_nothing(self, options: Options) -> None:
        if not self.cell_type.causal:
            pytest.skip("declared as not causal")
        cell = self.build(options)
        x, state = self.inputs(self.steps), self.some_state(cell)
        y, after = cell(x, state)
        for cut in (1, 16, 21):
            first, between = cell(x[:, :cut], state)
            second, end = cell(x[:, cut:], between)
            _close(torch.cat([first, second], 1), y, 1e-8)
            _close_states(end, after, 1e-8)

    def test_g4_every_parameter_matters(self, options: Options) -> None:
        cell = self.build(options)
        # from the beginning, for a cell may have learned how to begin
        y = cell(self.inputs(self.steps))[0]
        names, parameters = zip(*cell.named_parameters(), strict=True)
        gradients = torch.autograd.grad(
            y, parameters, torch.randn_like(y), allow_unused=True, materialize_grads=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            assert gradient.isfinite().all(), name
            assert gradient.any(), f"{name} changes no output"
        for name, share in cell.slower.items():
            assert name in names, f"slower names {name}, which is no parameter"
            assert 0 < share <= 1, f"slower maps {name} to {share}, which is no share"

    def test_g5_rows_do_not_see_each_other(self, options: Options) -> None:
        cell = self.build(options)
        x, state = self.inputs(self.steps), self.some_state(cell)
        y, after = cell(x, state)
        for row in range(self.rows):
            alone, left = cell(x[row : row + 1], pick(state, row))
            _close(alone, y[row : row + 1], 1e-8)
            _close_states(left, pick(after, row), 1e-8)

    def test_g6_long_and_large_stays_finite(self, options: Options) -> None:
        cell = self.build(options, dtype=torch.float32)
        scales = torch.tensor([1.0, 50.0])[:, None, None]
        x = (scales * torch.randn(2, 1024, self.width)).requires_grad_()
        y, state = cell(x)
        gradients = torch.autograd.grad(
            y.mean(), (x, *cell.parameters()), allow_unused=True, materialize_grads=True
        )
        for part in (y, *flatten(state), *gradients):
            assert part.isfinite().all(), "1024 steps leave NaN or infinity behind"

    def test_g7_weights_follow_the_seed_and_survive_a_round_trip(self, options: Options) -> None:
        first, second = self.build(options, seed=1), self.build(options, seed=1)
        other = self.build(options, seed=2)
        after = [self.drawn_after(options, seed) for seed in (1, 2)]
        assert after[0] != after[1], "building a cell leaves the seed alone: it sets no seed itself"
        saved = {name: part.clone() for name, part in first.state_dict().items()}
        for name, part in second.state_dict().items():
            assert torch.equal(part, saved[name]), "the same seed gives the same weights"
        x = self.inputs(9)
        with torch.no_grad():
            for part in other.parameters():
                part.add_(1.0)
        other.load_state_dict(saved)
        assert torch.equal(first(x)[0], other(x)[0]), (
            "weights saved and loaded give what they gave: all that decides an output is"
            " a parameter or a buffer, made by the constructor"
        )
        expected = self.parameters(self.width, options)
        if expected is not None:
            assert sum(part.numel() for part in first.parameters()) == expected

    def test_g8_the_start_is_sane(self, options: Options) -> None:
        cell = self.build(options, dtype=torch.float32)
        for part in cell.parameters():
            assert part.isfinite().all()
        scale = cell(torch.randn(8, 64, self.width))[0].std().item()
        assert 1e-4 < scale < 30, "outputs for inputs of variance one are of a usable size"


@cache
def _cases(contract: type[CellContract]) -> list[Any]:
    """The variants of its cell, found once for all its tests."""
    found = variants(contract.cell_type)
    return [pytest.param(options, id=_title(options)) for options in found]


def _title(options: Options) -> str:
    return "-".join(f"{key}={value}" for key, value in options.items()) or "plain"


def _close(got: Tensor, expected: Tensor, within: float) -> None:
    scale = max(expected.abs().max().item(), 1e-3)
    error = (got - expected).abs().max().item() / scale
    assert error <= within, f"differs by {error:.1e} of its size"


def _close_states(got: State, expected: State, within: float) -> None:
    for fast, slow in zip(flatten(got), flatten(expected), strict=True):
        assert fast.shape == slow.shape, (
            f"states after the same inputs are of shapes {tuple(fast.shape)}, {tuple(slow.shape)}"
        )
        if (fast.is_floating_point() or fast.is_complex()) and fast.numel():
            _close(fast, slow, within)
        else:
            assert torch.equal(fast, slow), "states after the same inputs differ"
