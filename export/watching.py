"""A file that runs in use as it is, and shows the tensors that it has inside."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_effnet.export import flatbuffer
from keras_effnet.quiet import native_stderr_held_back


class Watched:
    """A file, a `schema.ModelT` that is changed, in which tensors inside can be read.

    They become its outputs. LiteRT's own `experimental_preserve_all_tensors` keeps
    them without XNNPACK alone: slower, and not the kernels that the file has in use.
    """

    def __init__(self, model, indices, threads=None):
        flatbuffer.graph(model).outputs = np.array(indices, np.int32)
        model.signatureDefs = []
        data = flatbuffer.pack(model)
        with native_stderr_held_back():
            self.interpreter = Interpreter(model_content=data, num_threads=threads)
            self.interpreter.allocate_tensors()
        (source,) = self.interpreter.get_input_details()
        self._source = source["index"]
        self.batch_size, *shape = map(int, source["shape"])
        self.shape = tuple(shape)

    def run(self, images):
        """Runs up to `batch_size` images, as the input stores them."""
        missing = self.batch_size - len(images)
        filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        self.interpreter.set_tensor(self._source, filled)
        self.interpreter.invoke()
