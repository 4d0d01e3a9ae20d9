"""Progress: one line on stderr, only where someone may look at it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from bnfold.show import show
from bnfold_cli.session import Session

if TYPE_CHECKING:
    from bnfold.training import StepMetrics

BAR = 20  # characters


def steps(session: Session) -> Callable[[StepMetrics], None] | None:
    """Draw each logged step: over the last one on a terminal, else one a line under -v."""
    if not session.progress and session.verbosity < 1:
        return None

    def draw(step: StepMetrics) -> None:
        memory = "" if step.gpu_mem is None else f"  {step.gpu_mem / 2**30:.1f} GiB"
        done = BAR * step.step // step.steps
        line = (
            f"[{'=' * done:<{BAR}}] {step.step}/{step.steps}  epoch {step.epoch:.1f}  "
            f"loss {step.loss:.4f}  accuracy {step.accuracy:.1%}  {step.images_per_s:.0f} images/s"
            f"  waits {step.data_wait:.0%}{memory}"
        )
        over = session.progress and step.step < step.steps
        print(f"{line:<100}", end="\r" if over else "\n", file=sys.stderr, flush=True)

    return draw


def rounds(session: Session) -> Callable[[int, int, str], None] | None:
    """A bar of what is done of how much, drawn over itself; nothing where nobody looks."""
    if not session.progress:
        return None

    def draw(done: int, of: int, what: str) -> None:
        filled = 24 * done // max(of, 1)
        line = f"[{'=' * filled}{' ' * (24 - filled)}] {done}/{of} {show(what, 40)}"
        over = done < of
        print(f"{line if over else '':<78}", end="\r", file=sys.stderr, flush=True)

    return draw


def stages(session: Session) -> Callable[[str], None] | None:
    """What is done now, over what was done before; nothing where nobody looks."""
    if not session.progress:
        return None

    def draw(what: str) -> None:
        print(f"{show(what, 70):<78}", end="\r", file=sys.stderr, flush=True)

    return draw
