"""Measuring croppers: `cropzoom eval`, its metrics and benchmarks, the OCR stand-in, baselines.

Nothing here is imported by a wrapped client. Reading text needs the `demo` extra (rapidocr), the
benchmarks need `datasets`.
"""
