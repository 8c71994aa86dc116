"""Runs a model in ONNX on one core."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from comfyproxy.nsfw.errors import ClassifierBroken, ClassifierFailed

Floats = npt.NDArray[np.float32]
_ERRORS_ONLY = 3


class Session:
    """A loaded model with one input, of one picture, and its first output.

    Raises:
        ClassifierBroken: no such file, or no such model
    """

    def __init__(self, path: Path) -> None:
        try:
            weights = path.read_bytes()
        except OSError as error:
            raise ClassifierBroken(f"{path} cannot be read: {error.strerror}.") from error
        self.digest = hashlib.sha256(weights).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            # By its path: weights beyond 2 GB lie in a file beside it.
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ClassifierBroken(f"{path} is no model that onnxruntime can load.") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ClassifierBroken(f"{path} has {len(inputs)} inputs; one picture is expected.")
        self.input_shape: list[int | str | None] = inputs[0].shape
        self._input = inputs[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, batch: Floats) -> Floats:
        """What it says about the one picture of a batch: a row of numbers.

        Raises:
            ClassifierFailed
        """
        try:
            found = np.asarray(self._session.run([self._output], {self._input: batch})[0])
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            raise ClassifierFailed(f"The model failed: {error}") from error
        if found.ndim != 2 or found.shape[0] != 1:
            raise ClassifierFailed(f"The model answered with {found.shape}, not one row.")
        return found[0].astype(np.float32)
