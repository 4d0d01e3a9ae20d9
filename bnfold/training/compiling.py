"""What torch.compile says when it fails, in one line: it speaks in pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from bnfold.errors import EnvironmentLacks
from bnfold.training.config import TrainConfig

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


def compiler_told(config: TrainConfig) -> AbstractContextManager[None]:
    """Tell a failure of the compiler, forward or backward; nothing where nothing is compiled.

    Raises:
        EnvironmentLacks: torch.compile fails: no C++ compiler, or a network that it cannot take.
    """
    return _told() if config.compile else nullcontext()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as cause:
        if not any(kind.__module__.startswith(COMPILERS) for kind in type(cause).__mro__):
            raise
        told = [text.strip() for text in str(cause).splitlines() if text.strip()]
        count = 2 if told and told[0].endswith(":") else 1  # "backend=... raised:", and then what
        raise EnvironmentLacks(
            f"torch.compile failed: {' '.join(told[:count])[:300]}",
            hint="--set compile=false; or install a C++ compiler, if it says that there is none",
        ) from cause
