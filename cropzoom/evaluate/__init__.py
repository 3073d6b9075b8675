"""Measuring a cropper: a text reader, the matching of answers, baselines to compare with.

Nothing here is imported by a wrapped client. Needs the `demo` extra (rapidocr).
"""
