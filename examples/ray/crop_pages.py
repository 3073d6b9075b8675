"""Crop the pages of parquet files on a Ray cluster; run it again to go on with what is left.

    python examples/ray/crop_pages.py pages/ crops/ --key page_id --workers 8

See README.md beside it for a launch on two nodes.
"""

from __future__ import annotations

import argparse

import ray

from cropzoom import ZoomOptions
from cropzoom.ray import crop_parquet

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="parquet file or folder, the same from all nodes")
    parser.add_argument("target", help="folder for the parts, the same from all nodes")
    parser.add_argument("--key", default="id", help="column that tells the rows apart")
    parser.add_argument("--workers", type=int, help="as many as the cluster has room for")
    parser.add_argument("--gpus", type=float, default=0, help="of a worker, such as 0.25")
    parser.add_argument("--keep", nargs="*", help="columns to copy; all by default")
    parser.add_argument("--root", nargs="*", default=[], help="folders that paths may lead into")
    parser.add_argument("--pictures", action="store_true", help="write the crops, too")
    parser.add_argument("--min-confidence", type=float, default=ZoomOptions().min_confidence)
    args = parser.parse_args()

    # The cluster that `ray start` made, if RAY_ADDRESS names one; else one on this machine.
    ray.init()
    counts = crop_parquet(
        args.source,
        args.target,
        key=args.key,
        keep=args.keep,
        workers=args.workers,
        num_gpus=args.gpus,
        roots=args.root,
        pictures=args.pictures,
        options=ZoomOptions(min_confidence=args.min_confidence),
    )
    print(
        f"{counts.rows} rows, {counts.before} of them from earlier runs, {counts.crops} crops now"
    )
    for reason, count in counts.reasons.items():
        print(f"{count:8} without a crop: {reason}")
