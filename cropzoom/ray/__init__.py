"""Pages by the million, on Ray Data: `Cropper` for `map_batches`, `crop_parquet` for a whole job.

    from ray.data import ActorPoolStrategy, read_parquet

    read_parquet("pages").map_batches(
        Cropper, batch_format="pyarrow", batch_size=32, compute=ActorPoolStrategy(size=8)
    )

A row that can't be cropped gets the reason; none fails the job.
"""

from __future__ import annotations

from .parquet_job import Counts, crop_parquet
from .ray_cropper import Cropper

__all__ = ["Counts", "Cropper", "crop_parquet"]
