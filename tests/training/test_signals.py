"""A second signal: the same wish if it follows at once, later the end."""

from __future__ import annotations

import signal

import pytest

from bnfold.training import signals


class Ended(BaseException):
    """What the handler from before does."""


def end(number, _):
    raise Ended(number)


@pytest.fixture(autouse=True)
def handlers():
    """Handlers as the command line has them; pytest's own come back."""
    before = {number: signal.signal(number, end) for number in signals.DEFERRED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("second", signals.DEFERRED, ids=lambda n: n.name)
def test_at_once_it_is_the_same_wish(second):
    """The terminal's Ctrl-C comes to a worker from torchrun too: what is saved must be saved."""
    with signals.deferred() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(second)
    assert stop.signal == signal.SIGINT


@pytest.mark.parametrize("second", signals.DEFERRED, ids=lambda n: n.name)
def test_later_it_ends_as_it_would_have(monkeypatch, second):
    monkeypatch.setattr(signals, "ONE_WISH", 0.0)

    def both():
        with signals.deferred():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(second)

    with pytest.raises(Ended) as caught:
        both()
    assert caught.value.args == (second,)
    assert signal.getsignal(second) is end
