"""The network computed by OpenVINO on the processor; the only module that imports it.

The graph is made from the tables by hand: 5 ms, where a conversion of the torch module takes 3.4 s, so there is nothing
to keep in a file. It is compiled in 0.2 s.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heygemd.errors import SetupError
from heygemd.render.wav2lip.folding import Convolution, Folded
from heygemd.render.wav2lip.forward import forward
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW, MEL_BANDS, MEL_FRAMES, Grow, Pair

CALLS_HOME = ("openvino_telemetry", "openvino.tools.ovc")
"""What `import openvino` would load to report the import to its makers' statistics; it does without when they are not
there. The second, which converts models of other frameworks, is of no use here."""
FORMATS = {"float32": "f32", "bfloat16": "bf16"}
END = 1 << 30
"""Row behind the last of any picture."""


def is_installed() -> bool:
    """Tell whether the extra was installed; loads nothing."""
    return importlib.util.find_spec("openvino") is not None


def installed_version() -> str:
    """Version of OpenVINO, or nothing; loads nothing."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return ""


class OpenVinoNetwork:
    """Paints the lower halves of a fixed number of faces."""

    def __init__(self, network: Folded, dtype: str, *, count: int, threads: int) -> None:
        """Compile the network, whose weights may be let go then; raises SetupError E401 when OpenVINO cannot."""
        openvino = _load("openvino")
        model = _graph(network, count)
        how = {
            "INFERENCE_PRECISION_HINT": FORMATS[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other workers, and containers with a share of a core, would be pinned alike
        }
        try:
            compiled = openvino.Core().compile_model(model, "CPU", how)
            self._request = compiled.create_infer_request()
            hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        except RuntimeError as error:
            raise SetupError("E401", f"OpenVINO cannot compute the network: {_first_line(error)}") from error
        self.dtype = {short: name for name, short in FORMATS.items()}.get(hint, hint)
        """What it computes in: a processor without instructions for bfloat16 falls back to float32."""
        self._mel = np.zeros((count, 1, MEL_BANDS, MEL_FRAMES), np.float32)
        self._pair = np.zeros((count, 6, FACE_PX, FACE_PX), np.float32)
        self._request.set_input_tensor(0, openvino.Tensor(self._mel, shared_memory=True))
        self._request.set_input_tensor(1, openvino.Tensor(self._pair, shared_memory=True))

    def paint(self, windows: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """Paint so many faces as it was compiled for: float32[n, 16, 80] and float32[n, 96, 96, 3] BGR 0..255.

        Returns float32[n, 48, 96, 3] BGR 0..255.
        """
        self._mel[:, 0] = windows.transpose(0, 2, 1)
        np.multiply(faces.transpose(0, 3, 1, 2), np.float32(1 / 255), out=self._pair[:, 3:])
        self._pair[:, :3, :LOWER_ROW] = self._pair[:, 3:, :LOWER_ROW]
        self._request.infer()
        painted = self._request.get_output_tensor(0).data
        halves: NDArray[np.float32] = np.multiply(painted.transpose(0, 2, 3, 1), np.float32(255), order="C")
        return halves


def _graph(network: Folded, count: int) -> Any:  # noqa: ANN401  # OpenVINO is optional, so are its types
    openvino, opset = _load("openvino"), _load("openvino.opset13")
    mel = opset.parameter([count, 1, MEL_BANDS, MEL_FRAMES], np.float32)
    pair = opset.parameter([count, 6, FACE_PX, FACE_PX], np.float32)
    return openvino.Model([forward(network, _Nodes(opset), mel, pair)], [mel, pair], "wav2lip")


class _Nodes:
    """Makes the nodes of a graph; numbers are shared with torch, not copied."""

    def __init__(self, opset: Any) -> None:  # noqa: ANN401
        self._opset = opset

    def convolve(self, x: Any, convolution: Convolution) -> Any:  # noqa: ANN401
        row, opset = convolution.row, self._opset
        y = self._grown(x, convolution) if isinstance(row, Grow) else self._convolved(x, convolution)
        if not isinstance(row, Grow) and row.residual:
            y = opset.add(y, x)
        return opset.relu(y)

    def from_row(self, x: Any, row: int) -> Any:  # noqa: ANN401
        if row == 0:
            return x
        bounds = (self._opset.constant(np.array([number])) for number in (row, END, 1, 2))
        return self._opset.slice(x, *bounds)

    def join(self, x: Any, y: Any) -> Any:  # noqa: ANN401
        return self._opset.concat([x, y], 1)

    def finish(self, x: Any, last: Convolution) -> Any:  # noqa: ANN401
        return self._opset.sigmoid(self._convolved(x, last))

    def _convolved(self, x: Any, one: Convolution) -> Any:  # noqa: ANN401
        row, around = one.row, _pair(one.row.padding)
        filters = self._opset.constant(one.weight.numpy(), shared_memory=True)
        y = self._opset.convolution(x, filters, _pair(row.stride), around, around, [1, 1])
        return self._biased(y, one)

    def _grown(self, x: Any, one: Convolution) -> Any:  # noqa: ANN401
        row, around = one.row, _pair(one.row.padding)
        filters = self._opset.constant(one.weight.numpy(), shared_memory=True)
        extra = _pair(row.output_padding) if isinstance(row, Grow) else [0, 0]
        y = self._opset.convolution_backprop_data(
            x, filters, _pair(row.stride), pads_begin=around, pads_end=around, dilations=[1, 1], output_padding=extra
        )
        return self._biased(y, one)

    def _biased(self, y: Any, one: Convolution) -> Any:  # noqa: ANN401
        return self._opset.add(y, self._opset.constant(one.bias.view(1, -1, 1, 1).numpy()))


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _load(name: str) -> Any:  # noqa: ANN401
    """Import OpenVINO and nothing that would phone home; raises SetupError E401 when it is not there or broken."""
    with _without(*CALLS_HOME):
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            raise SetupError(
                "E401", f"render.backend = openvino, and OpenVINO cannot be loaded ({_first_line(error)}): "
                "install heygemd[openvino], or set it to auto"
            ) from error  # fmt: skip


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Let imports of these modules fail, as where they are not installed; those that are loaded already stay."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python marks what must not load
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
