"""Recorders of conformance cases; each runs under the interpreter that has the TensorFlow or Keras it records."""
