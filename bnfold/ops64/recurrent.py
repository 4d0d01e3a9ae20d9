"""LSTM, GRU and RNN: directions, peepholes, clip, activations, sequence lengths, layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnfold.ops64 import activations as act
from bnfold.ops64.call import Array, Call, Kernel, Result

Activation = Callable[[Array], Any]


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    a = 1.0 if alpha is None else alpha
    table: Mapping[str, Activation] = {
        "affine": lambda x: a * x + (0.0 if beta is None else beta),
        "elu": lambda x: np.where(x < 0, a * np.expm1(x), x),
        "hardsigmoid": lambda x: np.clip(
            (0.2 if alpha is None else alpha) * x + (0.5 if beta is None else beta), 0.0, 1.0
        ),
        "leakyrelu": lambda x: np.where(x < 0, (0.01 if alpha is None else alpha) * x, x),
        "relu": lambda x: np.maximum(x, 0.0),
        "scaledtanh": lambda x: a * np.tanh((1.0 if beta is None else beta) * x),
        "sigmoid": act.sigmoid,
        "softplus": act.softplus,
        "softsign": lambda x: x / (1.0 + np.abs(x)),
        "tanh": np.tanh,
        "thresholdedrelu": lambda x: np.where(x > a, x, 0.0),
    }
    return table[name.lower()]


@dataclass(frozen=True, slots=True)
class _Cell:
    """One direction's constants: W (g*H, I), R (g*H, H), b (2*g*H,), peepholes (3*H,)."""

    w: Array
    r: Array
    bias: Array
    peep: Array
    f: tuple[Activation, ...]
    clip: float
    options: Mapping[str, Any]

    def clipped(self, x: Array) -> Array:
        return np.clip(x, -self.clip, self.clip) if self.clip else x


State = tuple[Array, ...]
Step = Callable[[_Cell, Array, State], State]


def _lstm_step(cell: _Cell, x: Array, state: State) -> State:
    """Gates i, o, f, c; H = o * h(C)."""
    h, c = state
    wb, rb = np.split(cell.bias, 2)
    i, o, f, g = np.split(x @ cell.w.T + h @ cell.r.T + wb + rb, 4, axis=-1)
    pi, po, pf = np.split(cell.peep, 3)
    i = cell.f[0](cell.clipped(i + pi * c))
    f = 1.0 - i if cell.options.get("input_forget") else cell.f[0](cell.clipped(f + pf * c))
    c = f * c + i * cell.f[1](cell.clipped(g))
    o = cell.f[0](cell.clipped(o + po * c))
    return o * cell.f[2](c), c


def _gru_step(cell: _Cell, x: Array, state: State) -> State:
    """Gates z, r, h; H = (1 - z) * h + z * H."""
    (h,) = state
    wb, rb = np.split(cell.bias, 2)
    wz, wr, wh = np.split(x @ cell.w.T + wb, 3, axis=-1)
    size = h.shape[-1]
    hz, hr = np.split(h @ cell.r[: 2 * size].T + rb[: 2 * size], 2, axis=-1)
    z, r = cell.f[0](cell.clipped(wz + hz)), cell.f[0](cell.clipped(wr + hr))
    last, bias = cell.r[2 * size :].T, rb[2 * size :]
    if cell.options.get("linear_before_reset"):
        inner = wh + r * (h @ last + bias)
    else:
        inner = wh + (r * h) @ last + bias
    return ((1.0 - z) * cell.f[1](cell.clipped(inner)) + z * h,)


def _rnn_step(cell: _Cell, x: Array, state: State) -> State:
    wb, rb = np.split(cell.bias, 2)
    return (cell.f[0](cell.clipped(x @ cell.w.T + state[0] @ cell.r.T + wb + rb)),)


def _run(cell: _Cell, step: Step, x: Array, state: State, lengths: Array) -> tuple[Array, State]:
    """X (T, N, I) forward in time; samples past their length keep their state and give zero."""
    out = np.zeros((*x.shape[:2], cell.r.shape[-1]))
    for t in range(x.shape[0]):
        alive = (t < lengths)[:, None]
        fresh = step(cell, x[t], state)
        state = tuple(np.where(alive, n, o) for n, o in zip(fresh, state, strict=True))
        out[t] = np.where(alive, fresh[0], 0.0)
    return out, state


def _flipped(x: Array, lengths: Array) -> Array:
    """Each sample reversed in time within its own length."""
    out = x.copy()
    for k, length in enumerate(lengths):
        out[:length, k] = x[:length, k][::-1]
    return out


_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _cells(call: Call) -> list[_Cell]:
    w, r, bias = call.need(1), call.need(2), call.get(3)
    directions, rows, size = r.shape
    names = call.attr("activations") or _DEFAULTS[call.op_type] * directions
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    alphas, betas = list(call.attr("activation_alpha", ())), list(call.attr("activation_beta", ()))
    chosen = []
    for name in names:
        has_alpha = name.lower() not in ("tanh", "sigmoid", "relu", "softsign", "softplus")
        has_beta = name.lower() in ("affine", "hardsigmoid", "scaledtanh")
        alpha = alphas.pop(0) if has_alpha and alphas else None
        beta = betas.pop(0) if has_beta and betas else None
        chosen.append(_activation(name, alpha, beta))
    per = len(chosen) // directions
    peep = call.get(7) if call.op_type == "LSTM" else None
    clip = float(call.attr("clip", 0.0))
    cells = []
    for d in range(directions):
        b = np.zeros(2 * rows) if bias is None else bias[d]
        p = np.zeros(3 * size) if peep is None else peep[d]
        f = tuple(chosen[d * per : (d + 1) * per])
        cells.append(_Cell(w[d], r[d], b, p, f, clip, call.attributes))
    return cells


def _recurrent(step: Step) -> Kernel:
    """Y (T, D, N, H), Y_h and, for an LSTM, Y_c (D, N, H); batch first under layout=1."""

    def kernel(call: Call) -> Result:
        first = bool(call.attr("layout", 0))
        x = call.need(0).swapaxes(0, 1) if first else call.need(0)
        cells = _cells(call)
        count = 2 if call.op_type == "LSTM" else 1
        start = [_initial(call, 5 + k, x, cells, first=first) for k in range(count)]
        given = call.get(4)
        lengths = np.full(x.shape[1], x.shape[0]) if given is None else given
        outs, ends = [], []
        for d, cell in enumerate(cells):
            backward = call.text("direction", "forward") == "reverse" or d == 1
            source = _flipped(x, lengths) if backward else x
            out, end = _run(cell, step, source, tuple(s[d] for s in start), lengths)
            outs.append(_flipped(out, lengths) if backward else out)
            ends.append(end)
        y = np.stack(outs, axis=1)
        last = [np.stack([end[k] for end in ends]) for k in range(count)]
        if first:
            return y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)
        return y, *last

    return kernel


def _initial(call: Call, position: int, x: Array, cells: list[_Cell], *, first: bool) -> Array:
    value = call.get(position)
    if value is None:
        return np.zeros((len(cells), x.shape[1], cells[0].r.shape[-1]))
    return value.swapaxes(0, 1) if first else value


KERNELS: Mapping[str, Kernel] = {
    "GRU": _recurrent(_gru_step),
    "LSTM": _recurrent(_lstm_step),
    "RNN": _recurrent(_rnn_step),
}
