"""The CUDA parts without a device: what is asked of the driver, of ONNX Runtime, of nvidia-smi."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto

from bnfold.latency import binding, cuda, device, floor, runtime, sessions
from tests.build import make_model, node, randn, tensor, value


class Library:
    """A driver that counts: events are numbered, time passes by 1.5 ms an event."""

    def __init__(self, broken=()):
        self.broken, self.calls, self.made = broken, [], 0

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            if name in self.broken:
                return 999
            if name in ("cuEventCreate", "cuStreamCreate"):
                self.made += 1
                arguments[0]._obj.value = self.made
            if name == "cuEventElapsedTime":
                arguments[0]._obj.value = 1.5 * (arguments[2].value - arguments[1].value)
            if name == "cuMemGetInfo_v2":
                arguments[0]._obj.value, arguments[1]._obj.value = 3 << 20, 8 << 20
            if name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = arguments[1] * 10
            return 0

        return call


def test_the_driver_answers():
    driver = cuda.Driver(Library())
    first, last = driver.event(), driver.event()
    assert driver.elapsed_ms(first, last) == 1.5
    assert driver.used_bytes() == 5 << 20
    speed = driver.speed()
    assert (speed.multiprocessors, speed.major, speed.minor) == (160, 750, 760)


@pytest.mark.parametrize("broken", ["cuInit", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"])
def test_a_driver_that_fails_is_named(broken):
    with pytest.raises(cuda.CudaFailed, match=broken):
        cuda.Driver(Library({broken}))


@pytest.fixture
def forget():
    yield
    for cached in (cuda.driver, cuda.stream):
        cached.cache_clear()


@pytest.mark.parametrize("broken", [(), ("cuInit",), ("cuStreamCreate",)])
def test_no_stream_no_option(monkeypatch, forget, broken):
    for cached in (cuda.driver, cuda.stream):
        cached.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library(broken))
    wanted = {} if broken else {"user_compute_stream": "1"}
    assert binding.stream_option() == wanted


def test_without_a_driver(monkeypatch, forget):
    def missing(_):
        raise OSError("libcuda.so.1: cannot open shared object file")

    for cached in (cuda.driver, cuda.stream):
        cached.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda.driver() is None
    assert binding.stream_option() == {}


class Binding:
    def __init__(self, log):
        self.log = log

    def bind_ortvalue_input(self, name, value):
        self.log.append(("input", name, value))

    def bind_output(self, name, place, number):
        self.log.append(("anywhere", name, place))

    def bind_ortvalue_output(self, name, value):
        self.log.append(("output", name, value))

    def synchronize_inputs(self):
        self.log.append("inputs ready")

    def synchronize_outputs(self):
        self.log.append("outputs ready")

    def get_outputs(self):
        return ["y on the device"]


class Session:
    def __init__(self, log):
        self.log = log

    def io_binding(self):
        return Binding(self.log)

    def get_outputs(self):
        return [SimpleNamespace(name="y")]

    def run_with_iobinding(self, _):
        self.log.append("run")


@pytest.fixture
def no_runtime(monkeypatch):
    """ONNX Runtime whose values on the device are words."""
    ort = SimpleNamespace(
        OrtValue=SimpleNamespace(ortvalue_from_numpy=lambda array, place, _: f"{place} {array}")
    )
    monkeypatch.setattr(runtime, "onnxruntime", lambda: ort)


@pytest.mark.parametrize("events", [True, False])
def test_a_run_on_the_device_copies_nothing_and_waits(monkeypatch, no_runtime, events):
    library = Library() if events else Library({"cuEventRecord"})
    driver = cuda.Driver(library)
    monkeypatch.setattr(cuda, "driver", lambda: driver)
    monkeypatch.setattr(cuda, "stream", lambda: 7)
    log, free = [], []
    runner = binding.bound(Session(log), {"x": np.ones(1)}, lambda: Session(free))
    assert ("anywhere", "y", "cuda") in free  # the sizes are learnt from a run that is not timed
    assert ("output", "y", "y on the device") in log
    log.clear()
    runner.run()
    assert log == ["run", "outputs ready"]
    assert (runner.device_ms is not None) is events
    if runner.device_ms:
        assert runner.device_ms() == 1.5
        assert library.calls.count("cuEventRecord") == 4  # a trial and a run


@pytest.mark.parametrize(("graph", "sessions_made"), [("0", 1), ("1", 2)])
def test_a_cuda_graph_learns_its_outputs_from_a_twin(monkeypatch, no_runtime, graph, sessions_made):
    made = []

    def session(path, how, **_):
        made.append(how.provider_options["enable_cuda_graph"])
        return Session([])

    monkeypatch.setattr(sessions, "session", session)
    monkeypatch.setattr(cuda, "driver", lambda: None)
    how = sessions.Setting(
        provider="CUDAExecutionProvider", provider_options={"enable_cuda_graph": graph}
    )
    sessions.runner("m.onnx", how, {"x": np.ones(1)})
    assert made == [graph, "0"][:sessions_made]


def test_what_nvidia_smi_says():
    said = "NVIDIA H200, 580.65, 1980, 3201, 1980, 41, 118.2, 0, 0x0000000000000000\n"
    told = device.read(said)
    assert (told["name"], told["driver"], told["sm_clock_mhz"]) == ("NVIDIA H200", "580.65", "1980")
    assert device.read("No devices were found\n") is None
    assert device.read("") is None


@pytest.mark.parametrize(("number", "want"), [(91002, "9.10.2"), (8907, "8.9.7"), (90100, "9.1.0")])
def test_versions_of_cudnn(number, want):
    assert device.cudnn_version(number) == want


def test_no_cudnn_in_this_process(tmp_path):
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp 00000000 00:00 0 /usr/lib/libm.so.6\n")
    assert device.cudnn(maps) is None
    assert device.cudnn(tmp_path / "none") is None


def conv(kernel, *, dtype=TensorProto.FLOAT):
    weight = tensor("w", randn(np.random.default_rng(0), 4, 3, kernel, kernel))
    model = make_model(
        [node("Conv", ["x", "w"], "y", pads=[kernel // 2] * 4)],
        [value("x", ["N", 3, 8, 8])],
        ["y"],
        [weight],
    )
    model.graph.initializer[0].data_type = dtype
    return model


@pytest.mark.parametrize(
    ("kernel", "multiply_adds"),
    [
        pytest.param(1, 2 * 4 * 64 * 3, id="1x1-cannot-be-saved"),
        pytest.param(3, 2 * 4 * 64 * 3 * 9 // 4, id="3x3-by-winograd"),
        pytest.param(5, 2 * 4 * 64 * 3, id="5x5-by-fourier"),
    ],
)
def test_work_is_a_lower_bound(tmp_path, kernel, multiply_adds):
    path = tmp_path / "m.onnx"
    path.write_bytes(conv(kernel).SerializeToString())
    done = floor.work(path, {"x": (2, 3, 8, 8)})
    assert done == floor.Work(multiply_adds, 4 * 4 * 3 * kernel**2, TensorProto.FLOAT)


H200 = cuda.Speed(1_980_000, 132, 3_201_000, 6144, 50 << 20, 9, 0)
CUDA = sessions.Setting(provider="CUDAExecutionProvider", provider_options={"use_tf32": "0"})
RESNET50 = floor.Work(4_089_000_000, 102_000_000, TensorProto.FLOAT)


def test_floor_of_a_known_device():
    """ResNet-50 without Winograd: 122 us in float32, 20 in TF32, 10 in 16 bits, at 67 TFLOP/s."""
    tf32 = sessions.Setting(provider="CUDAExecutionProvider", provider_options={"use_tf32": "1"})
    assert floor.least_ms(RESNET50, H200, CUDA) == pytest.approx(0.122, rel=0.03)
    half = floor.Work(RESNET50.multiply_adds, 51_000_000, TensorProto.FLOAT16)
    assert floor.least_ms(RESNET50, H200, tf32) < floor.least_ms(RESNET50, H200, CUDA) / 5
    assert floor.least_ms(half, H200, tf32) == pytest.approx(0.0079, rel=0.1)
    weights_alone = floor.Work(0, 50 << 20, TensorProto.FLOAT)
    assert floor.least_ms(weights_alone, H200, CUDA) == 0  # they may lie in the cache


def test_no_floor_where_the_rates_are_not_known():
    unknown = cuda.Speed(1, 1, 1, 1, 1, 99, 0)
    assert floor.least_ms(RESNET50, unknown, CUDA) is None
    assert floor.least_ms(RESNET50, H200, sessions.Setting()) is None
