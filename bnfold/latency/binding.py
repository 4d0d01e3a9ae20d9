"""A run on a device without host copies: inputs and outputs stay where they are.

Their addresses never change, as a CUDA graph demands. Copies are timed by a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnfold.latency import cuda, runtime
from bnfold.latency.rounds import Runner

Arrays = dict[str, NDArray[np.generic]]
STREAM_OPTION = "user_compute_stream"


def stream_option() -> dict[str, str]:
    """The provider option that puts a session on the stream of the events, where there is one."""
    stream = cuda.stream()
    return {} if stream is None else {STREAM_OPTION: str(stream)}


def bound(made: Any, arrays: Arrays, shapes_from: Callable[[], Any]) -> Runner:
    """A runner of the session `made` over device memory.

    `shapes_from` makes a session that may run freely once, to learn what the outputs are.
    """
    binding = made.io_binding()
    inputs = _on_device(arrays)
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    outputs = _outputs(shapes_from(), inputs)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    binding.synchronize_inputs()
    held = (inputs, outputs)  # the binding does not own what it points at

    def run() -> object:
        made.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return held

    return _with_events(run)


def _on_device(arrays: Arrays) -> dict[str, Any]:
    ort = runtime.onnxruntime()
    return {
        name: ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0) for name, array in arrays.items()
    }


def _outputs(free: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Output values of one run, which keep their memory: the sizes may depend on the data."""
    binding = free.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    names = [output.name for output in free.get_outputs()]
    for name in names:
        binding.bind_output(name, "cuda", 0)
    free.run_with_iobinding(binding)
    binding.synchronize_outputs()
    return dict(zip(names, binding.get_outputs(), strict=True))


def _with_events(run: Callable[[], object]) -> Runner:
    """`run` between two events of our stream, where the driver gives us one."""
    driver, stream = cuda.driver(), cuda.stream()
    if driver is None or stream is None:
        return Runner(run)
    try:
        first, last = driver.event(), driver.event()
        driver.record(first, stream)
        driver.record(last, stream)
        driver.elapsed_ms(first, last)
    except cuda.CudaFailed:
        return Runner(run)

    def recorded() -> None:
        driver.record(first, stream)
        run()
        driver.record(last, stream)

    return Runner(recorded, lambda: driver.elapsed_ms(first, last))
