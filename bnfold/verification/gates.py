"""Gates 2 and 3: the error in float64 in units of rounding jitter, and the runtime's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bnfold.show import show
from bnfold.verification.cases import Array
from bnfold.verification.channels import Channel, Channels
from bnfold.verification.measures import UNIT, Pool, numeric, rms
from bnfold.verification.truth import Sample, Watched
from bnfold.verification.verdict import CHANNEL_LIMIT, JITTER_LIMIT, Gate

RUNTIME_LIMIT = 4.0
FLOOR_ULPS = 4.0  # below this many u of the output, the original's own error counts as this
LEAST_CASES = 5
_LEAST_JITTER = 0.25  # u of the output: what counts as rounding where jitter does less
_BLIND = 1e-3  # u of the output: jitter that moves it less shows nothing, where it is at its ends
_LEVELS = 64  # steps up to the largest value: what is quantised takes many, what is saturated few
_FEW = 8


@dataclass(slots=True)
class _Track:
    """One watched tensor over the inputs."""

    departure: Pool = field(default_factory=Pool)
    jitter: Pool = field(default_factory=Pool)
    channels: Channels = field(default_factory=Channels)
    levels: set[int] = field(default_factory=set)
    differing: float = 0.0
    flipped: float = 0.0
    problem: str = ""

    def ratio(self, unit: float) -> float:
        """Departure over jitter."""
        loudest, least = self.departure.loudest, _LEAST_JITTER * unit
        return self.departure.value(loudest) / (self.jitter.value(loudest, least) or least)

    def is_blind(self, unit: float) -> bool:
        """Whether it takes a few values only, and jitter of all weights moves it on no input."""
        return (
            bool(self.jitter.rows)
            and len(self.levels) <= _FEW
            and all(e < _BLIND * unit for e in self.jitter.relative(self.departure.loudest))
        )

    def see(self, values: Array) -> None:
        """Which levels it takes."""
        top = float(np.abs(values).max(initial=0.0))
        if len(self.levels) <= _FEW and np.isfinite(top):
            steps = np.round(values * (_LEVELS / (top or 1.0))).astype(np.int64)
            self.levels.update(np.unique(steps).tolist())


class Float64Gate:
    """Gate 2: rms(candidate - original) over rms(jittered - still fold), per watched tensor."""

    def __init__(self, pairs: Sequence[Watched], units: Mapping[str, float]) -> None:
        self.units = units
        self._pairs = tuple(pairs)
        self._units = [units.get(pair.behind or pair.original, UNIT[1]) for pair in pairs]
        self._tracks = [_Track() for _ in pairs]

    def add(self, sample: Sample) -> None:
        """One input's values."""
        for k, track in enumerate(self._tracks):
            a, b = sample.original[k], sample.candidate[k]
            draws = [moved[k] for moved in sample.jittered]
            still = sample.reference[k] if draws else a
            if a.shape != b.shape:
                if all(moved.shape == still.shape == a.shape for moved in draws):
                    track.problem = f"has shape {b.shape} where the original has {a.shape}"
                continue
            alike = [moved for moved in draws if moved.shape == still.shape]
            if a.dtype.kind != "f":
                self._whole(track, a, b)
                self._flips(track, still, alike)
            else:
                self._real(track, a, b)
                self._moves(track, (a, b), still, alike)

    def _whole(self, track: _Track, a: Array, b: Array) -> None:
        """Integers, booleans, strings: the share that differs."""
        if a.size:
            track.differing = max(track.differing, float(np.mean(a != b)))

    def _flips(self, track: _Track, still: Array, draws: Sequence[Array]) -> None:
        """And the share that jitter turns."""
        for moved in draws if still.size else ():
            track.flipped = max(track.flipped, float(np.mean(still != moved)))

    def _real(self, track: _Track, a: Array, b: Array) -> None:
        if not np.isfinite(b).all() and np.isfinite(a).all():
            track.problem = "holds NaN or Inf where the original does not"
            return
        track.departure.add(rms(b - a), rms(a))
        track.see(a)

    def _moves(
        self, track: _Track, pair: tuple[Array, Array], still: Array, draws: Sequence[Array]
    ) -> None:
        """What jitter does, in the original's size, to the whole and to each channel."""
        a = pair[0]
        for moved in draws:
            if np.isfinite(moved).all():
                track.jitter.add(rms(moved - still), rms(a))
                track.channels.shake(a, moved - still)
        if draws and all(np.isfinite(values).all() for values in pair):
            track.channels.depart(*pair)

    def farthest(self) -> int:
        """The input, from 0, on which the worst tensor departs furthest in its size."""
        worst = self._tracks[int(np.argmax(self.ratios()))].departure
        return int(np.argmax(worst.relative(worst.loudest) or [0.0]))

    def ratios(self) -> list[float]:
        """Departure over jitter, per watched tensor."""
        found = []
        for track, unit in zip(self._tracks, self._units, strict=True):
            if track.problem:
                found.append(float("inf"))
            elif track.departure.rows:
                found.append(track.ratio(unit))
            else:
                allowed = max(JITTER_LIMIT * track.flipped, 1e-3)
                found.append(JITTER_LIMIT * track.differing / allowed)
        return found

    def departure(self) -> float:
        """How far the outputs depart, in their rms; the worst one."""
        tracks = [t for p, t in zip(self._pairs, self._tracks, strict=True) if p.behind is None]
        return max((t.departure.value(t.departure.loudest) for t in tracks), default=0.0)

    def effects(self) -> dict[str, float]:
        """What jitter of the weights does to each output, in its rms."""
        tracks = zip(self._pairs, self._tracks, strict=True)
        return {
            p.original: t.jitter.value(t.departure.loudest) for p, t in tracks if p.behind is None
        }

    def blind(self) -> list[Watched]:
        """Float tensors that jitter of all weights does not move: they prove nothing."""
        return [
            pair
            for pair, track, unit in zip(self._pairs, self._tracks, self._units, strict=True)
            if track.is_blind(unit)
        ]

    def _counted(self) -> list[int]:
        """Outputs; a tensor before one under one name in both, or where that output is blind."""
        dark = {pair.original for pair in self.blind()}
        return [
            k
            for k, p in enumerate(self._pairs)
            if p.behind is None or p.original == p.candidate or p.behind in dark
        ]

    def gate(self) -> Gate:
        """The worst watched tensor decides."""
        ratios = self.ratios()
        counted = self._counted()
        if not counted:
            return Gate("float64", None, None, JITTER_LIMIT, "jitter", "there is no output")
        worst = max(counted, key=lambda k: ratios[k])
        value, track, what = ratios[worst], self._tracks[worst], _named(self._pairs[worst])
        ok = value <= JITTER_LIMIT
        if track.problem:
            sentence = f"{what} {track.problem}"
        elif not track.departure.rows:
            sentence = f"in float64 {what} differs in {track.differing:.2%} of its values"
        else:
            sentence = (
                f"in float64 {what} departs by {value:.3g} times what rounding the weights does"
                f" (limit {JITTER_LIMIT:g})"
            )
        return Gate("float64", ok, value, JITTER_LIMIT, "jitter", sentence)

    def channel_gate(self) -> Gate:
        """The worst channel of a watched tensor decides."""
        worst: tuple[Channel, str] | None = None
        for k in self._counted():
            found = self._tracks[k].channels.worst(self._units[k])
            if found is not None and (worst is None or not found.ratio <= worst[0].ratio):
                worst = found, _named(self._pairs[k])
        if worst is None:
            none = "no output has channels that could be told apart"
            return Gate("float64-channel", None, None, CHANNEL_LIMIT, "jitter", none)
        channel, what = worst
        sentence = (
            f"in float64 {channel} of {what} departs by {channel.ratio:.3g} times what rounding the"
            f" weights does there (limit {CHANNEL_LIMIT:g})"
        )
        ok = channel.ratio <= CHANNEL_LIMIT
        return Gate("float64-channel", ok, channel.ratio, CHANNEL_LIMIT, "jitter", sentence)


def _named(pair: Watched) -> str:
    if pair.behind is None:
        return f"output '{show(pair.original)}'"
    return f"'{show(pair.original)}', before the output '{show(pair.behind)}',"


class RuntimeGate:
    """Gate 3: rms error to the truth over the original's own at optimisation off, pooled.

    The original's own counts as at least `least`, by output: what rounding the weights does. A
    model of float16 weights that runs in float32 errs by less than a fold must change it.
    """

    def __init__(self, units: Mapping[str, float]) -> None:
        self._units = units
        self._pools: dict[str, dict[str, Pool]] = {}
        self.cases = 0
        self.least: Mapping[str, float] = {}

    def add(self, truth: Mapping[str, Array], runs: Mapping[str, Mapping[str, Array]]) -> None:
        """One input: what each run ("original none", "candidate all", ...) gave."""
        self.cases += 1
        for name, exact in truth.items():
            if exact.dtype.kind == "f":
                size = rms(exact)
                for run, outputs in runs.items():
                    pool = self._pools.setdefault(run, {}).setdefault(name, Pool())
                    pool.add(_error(outputs[name], exact), size)

    def ratio(self, run: str) -> tuple[float, str]:
        """The worst output's ratio, and its name."""
        worst, where = 0.0, ""
        for name, pool in self._pools.get(run, {}).items():
            floor = max(FLOOR_ULPS * self._units.get(name, UNIT[1]), self.least.get(name, 0.0))
            own = self._pools["original none"][name].value(pool.loudest, floor)
            value = pool.value(pool.loudest) / own
            if not value <= worst:  # so written that NaN counts
                worst, where = value, name
        return worst, where

    def gates(self, runs: Sequence[str], provider: str) -> list[Gate]:
        """One gate a run of the candidate; the original's own at the default level is shown."""
        own_default = self.ratio("original all")[0]
        found = []
        for run in runs:
            if run == "original none":
                continue
            value, where = self.ratio(run)
            side, level = run.split()
            if level == "tf32":
                found.append(_tf32_gate(side, value))
                continue
            found.append(_runtime_gate(side, level, (value, where), own_default, provider))
        return found


def _runtime_gate(
    side: str, level: str, worst: tuple[float, str], own_default: float, provider: str
) -> Gate:
    value, where = worst
    decides = side == "candidate"
    ok = bool(value <= RUNTIME_LIMIT)
    how = "optimisation off" if level == "none" else "ONNX Runtime's default level"
    place = f", output '{show(where)}'" if where else ""
    sentence = (
        f"on {provider} with {how} the {side}'s error is {value:.3g} times the original's own"
        f" (limit {RUNTIME_LIMIT:g}{place})"
    )
    if level == "all" and not ok:
        if not decides:
            sentence += ": ONNX Runtime's optimiser moves the original"
        elif value <= RUNTIME_LIMIT * own_default:
            ok = True
            sentence += ": so is the original's there, it is ONNX Runtime's optimiser that errs"
    return Gate(f"runtime-{side}-{level}", ok, value, RUNTIME_LIMIT, "x", sentence, decides)


def _tf32_gate(side: str, value: float) -> Gate:
    """What TensorFloat-32 alone does: shown, and off in all that decides."""
    sentence = f"with TF32 on, the {side}'s error is {value:.3g} times the original's own without"
    return Gate(f"tf32-{side}", None, value, None, "x", sentence, decides=False)


def _error(got: Array, exact: Array) -> float:
    if got.shape != exact.shape:
        return float("inf")
    error = numeric(got) - exact
    return rms(error) if np.isfinite(error).all() else float("inf")
