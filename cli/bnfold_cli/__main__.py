"""The command's first lines; `python -m bnfold_cli` and `torchrun -m bnfold_cli` come here too."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run the command line; a signal is answered from here on, also while it is loaded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stopped)
    from bnfold_cli.main import main as loaded

    loaded()


def _stopped(number: int, _: FrameType | None) -> NoReturn:
    """Nothing has begun that would have to be undone."""
    what = "interrupted" if number == signal.SIGINT else "terminated"
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"error: {what}\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    main()
