"""What can go wrong, one exception per exit code.

```
BnfoldError            1  a bug of ours, or the base class
├── UsageError         2  bad option, missing file, unknown name
├── ModelError         3  the model cannot be used
├── CheckFailed        4  a check that was asked for does not hold
├── EnvironmentLacks   5  torch, a provider, an extra is missing
├── DataError          6  files and data: unwritable, damaged, foreign
└── RunStopped         7  going on is senseless: NaN loss, out of memory
```
"""

from __future__ import annotations

from typing import ClassVar


class BnfoldError(Exception):
    """One line that says what, where and what to do; `exit_code` is the command's exit status."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "bug"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class UsageError(BnfoldError):
    """A bad option, a missing file, an unknown name: exit 2."""

    exit_code = 2
    code = "usage"


class ModelError(BnfoldError):
    """The model cannot be used: not ONNX, truncated, refused by the checker: exit 3."""

    exit_code = 3
    code = "model"


class CheckFailed(BnfoldError):
    """A check that was asked for does not hold: exit 4."""

    exit_code = 4
    code = "check"


class EnvironmentLacks(BnfoldError):
    """Something has to be installed or is not on this machine: exit 5."""

    exit_code = 5
    code = "environment"


class DataError(BnfoldError):
    """Files and data: unwritable, damaged, foreign, missing or unfit: exit 6."""

    exit_code = 6
    code = "data"


class RunStopped(BnfoldError):
    """Going on is senseless (NaN loss, out of memory); the run can be resumed: exit 7."""

    exit_code = 7
    code = "stopped"
