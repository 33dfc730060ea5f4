"""Side by side with others: the stock converter, onnxruntime, PyTorch, bare Keras."""
