"""Every exception cropzoom raises on purpose.

A message names the input, the rule it broke and the remedy. Catch `CropZoomError` to catch all.
Wrapped clients raise these only with `strict=True` or for mistakes made while wrapping; otherwise
a call goes through unchanged and the reason is in its report.
"""

from __future__ import annotations


class CropZoomError(Exception):
    """Base of every error of this package."""


class ImageError(CropZoomError, ValueError):
    """An image can't be read: broken, not an image, or over a limit."""


class ImageTooLargeError(ImageError):
    """An image's header claims more pixels than `max_pixels` (nothing was decoded)."""


class OptionsError(CropZoomError, ValueError):
    """An option has an impossible value."""


class RequestError(CropZoomError, ValueError):
    """A request has nothing to zoom into: no question, no image, an image given by file id, ..."""


class FetchError(CropZoomError):
    """A remote image was refused or could not be fetched."""


class CropperError(CropZoomError):
    """A cropper can't be loaded or used: folder, manifest, model file, provider."""


class BusyError(CropZoomError):
    """No crop was tried: more calls wait for the cropper than it can serve."""


class DeadlineError(CropZoomError):
    """A crop was not ready when the request had to go out; it is kept for the next one."""


class ClientError(CropZoomError, TypeError):
    """An object can't be wrapped."""


class DataError(CropZoomError, ValueError):
    """Training data can't be used: source, columns, split, or every row of it."""


class LabelError(CropZoomError):
    """Labelling can't go on: the teacher's server is down or refuses, or OUT is another's."""


class MissingDependencyError(CropZoomError, ImportError):
    """An optional package is missing; the message gives the pip command that installs it."""


class TrainingError(CropZoomError, ValueError):
    """A training run can't start or go on: its configuration, its data, or its reward."""


class ExportError(CropZoomError):
    """A checkpoint can't be exported, or what was exported differs from the torch model."""
