"""Target tflite: a model as TensorFlow Lite files, converted and played by processes of their own.

TensorFlow is imported by `convert` alone, a runtime by `play` alone: TensorFlow imported first breaks tflite_runtime.
"""
