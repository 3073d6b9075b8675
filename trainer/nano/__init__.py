"""The bundled crop policy "nano": a small net that reads a page and points, trained from scratch.

`network.py` the net; `batches.py` rendered pages as tensors; `losses.py` what it learns from;
`train.py` the recipe (`python -m cropzoom.trainer.nano.train`); `checkpoint.py` what a run
left; `cropzoom.export.nano` makes it a cropper.
"""
