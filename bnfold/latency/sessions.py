"""Sessions of ONNX Runtime with every setting that moves a timing made explicit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from bnfold.errors import EnvironmentLacks
from bnfold.latency import binding, runtime
from bnfold.latency.binding import Arrays
from bnfold.latency.rounds import Runner

CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "EXHAUSTIVE",
    "use_tf32": "1",
    "prefer_nhwc": "0",
    "enable_cuda_graph": "0",
}
_SEVERITY_ERROR = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """How a session is made. `overrides` fixes symbolic sizes before the graph is planned."""

    provider: str = "CPUExecutionProvider"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    optimization: str = "all"
    threads: int = 1
    disabled: tuple[str, ...] = ()
    overrides: Mapping[str, int] = field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Nothing but the CPU is asked for."""
        return self.provider == runtime.PROVIDERS["cpu"]

    def to_dict(self) -> dict[str, Any]:
        """The setting as plain JSON data."""
        return asdict(self)


def setting(asked: Mapping[str, Any]) -> Setting:
    """What `to_dict` gave, back."""
    return Setting(**{**asked, "disabled": tuple(asked["disabled"])})


def provider_options(provider: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """The options as set: on CUDA our defaults stated, whatever ONNX Runtime's are."""
    start = CUDA_OPTIONS if provider == runtime.PROVIDERS["cuda"] else {}
    return {**start, **(given or {})}


def session(path: str, how: Setting, *, save_to: str | None = None, record: bool = False) -> Any:
    """An InferenceSession on `path`.

    `save_to` writes the graph as ONNX Runtime optimised it; `record` lets `placed` look at it.

    Raises:
        EnvironmentLacks: ONNX Runtime silently put the CPU in the place of `how.provider`.
    """
    ort = runtime.onnxruntime()
    options = _options(ort, how)
    if record:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if save_to is not None:
        options.optimized_model_filepath = save_to
    given = dict(how.provider_options)
    if how.provider == runtime.PROVIDERS["cuda"]:
        given |= binding.stream_option()
    wanted: list[Any] = [(how.provider, given)]
    if not how.on_cpu:
        wanted.append((runtime.PROVIDERS["cpu"], {}))  # for the shape operators
    made = ort.InferenceSession(
        path, options, providers=wanted, disabled_optimizers=list(how.disabled)
    )
    if made.get_providers()[0] != how.provider:
        raise EnvironmentLacks(
            f"{how.provider} was asked for, and ONNX Runtime took {made.get_providers()[0]}",
            hint="bnfold doctor tells what is missing",
        )
    return made


def placed(made: Any) -> dict[str, int] | None:
    """Provider -> nodes it was given; None where this ONNX Runtime cannot tell.

    Raises:
        EnvironmentLacks: not one node went to the provider that comes first.
    """
    if not hasattr(made, "get_provider_graph_assignment_info"):
        return None
    counts: dict[str, int] = {}
    for part in made.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    first = made.get_providers()[0]
    if counts and first not in counts:
        raise EnvironmentLacks(
            f"{first} took none of the nodes: all run on {', '.join(counts)}",
            hint="bnfold doctor tells what is missing",
        )
    return counts


def _options(ort: Any, how: Setting) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = runtime.level(how.optimization)
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = how.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_ERROR
    # Idle workers would spin on the cores of the other session in this process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for symbol, size in how.overrides.items():
        options.add_free_dimension_override_by_name(symbol, size)
    return options


def runner(path: str, how: Setting, arrays: Arrays) -> Runner:
    """A fresh session and its run: through host memory on the CPU, else from and to the device."""
    made = session(path, how)
    if how.on_cpu:
        return Runner(partial(made.run, None, arrays))
    return binding.bound(made, arrays, lambda: _free(made, path, how))


def _free(made: Any, path: str, how: Setting) -> Any:
    """A session whose outputs may lie anywhere: of a CUDA graph, a twin without the graph."""
    if how.provider_options.get("enable_cuda_graph", "0") == "0":
        return made
    plain = {**how.provider_options, "enable_cuda_graph": "0"}
    return session(path, replace(how, provider_options=plain))


def with_copies(path: str, how: Setting, arrays: Arrays) -> Callable[[], object]:
    """One run with arrays in and out of host memory, whatever the device."""
    plain = {k: v for k, v in how.provider_options.items() if k != "enable_cuda_graph"}
    return partial(session(path, replace(how, provider_options=plain)).run, None, arrays)
