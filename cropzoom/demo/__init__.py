"""`cropzoom demo`: sample pictures, a stand-in for a small vision-language model, a results page.

Needs the `demo` extra. Nothing here is imported by a wrapped client.
"""
