"""`crop_parquet`: parquet in, parquet out, on a Ray cluster; a job that was cut off goes on.

Actors write parts aside; the driver gives a part its name when Ray hands it over. So only what is
whole counts, and a run that was killed can't add anything once the next one has begun.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from cropzoom.cropper.folder import MANIFEST_NAME, find_folder
from cropzoom.errors import DataError, MissingDependencyError, OptionsError
from cropzoom.files import locked

from .ray_cropper import Cropper, Source, check_columns, new_columns

# Readers of parquet folders pass over what starts with a dot.
_UNFINISHED = ".unfinished"
# Where a part says what made it.
_JOB = b"cropzoom"
# What decides where and how fast, not what comes out.
_WHERE = ("device", "threads", "roots")
# Rows of a row group that are decoded at a time, pictures included.
_READ_ROWS = 64
# What Ray keeps a record of; beyond, an actor takes several parts at a time.
_MOST_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a job's rows.

    Args:
        rows: in the target now: as many as in the source.
        before: of these, written by earlier runs.
        crops: of this run's rows.
        reasons: of this run's rows without a crop, how many for each reason.
    """

    rows: int
    before: int
    crops: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Job:
    """What an actor has to know; pickles.

    Args:
        cropper, how: for `Cropper`.
        model: what tells the cropper from others, wherever it lies.
        key: the column that tells rows apart.
        seen: columns that are looked at.
        keep: columns that are copied.
        place: the target's path in its file system.
        filesystem: pyarrow's, of the target.
        source: pyarrow's, of the source.
    """

    cropper: Source
    how: Mapping[str, Any]
    model: str
    key: str
    seen: Sequence[str]
    keep: Sequence[str]
    place: str
    filesystem: Any
    source: Any

    def unfinished(self, name: str) -> str:
        return f"{self.place}/{_UNFINISHED}/{name}"

    def settings(self) -> bytes:
        """Return what decides about a row's values."""
        how = {name: value for name, value in self.how.items() if name not in _WHERE}
        text = json.dumps({**how, "cropper": self.model, "keep": list(self.keep)}, default=repr)
        return text.encode()

    def rows(self, piece: Mapping[str, Any]) -> pa.Table:
        """Return a piece's rows: some of those of a row group, by their numbers in it."""
        columns = list(dict.fromkeys([*self.keep, *self.seen]))
        numbers = piece["rows"]
        batches, start = [], 0
        with pq.ParquetFile(piece["file"], filesystem=self.source) as file:
            for batch in file.iter_batches(
                _READ_ROWS, row_groups=[piece["group"]], columns=columns
            ):
                here = [number - start for number in numbers]
                here = [number for number in here if 0 <= number < batch.num_rows]
                if here:
                    batches.append(batch.take(pa.array(here)))
                start += batch.num_rows
                if start > numbers[-1]:
                    break
        return pa.Table.from_batches(batches)


class _PartWriter:
    """What an actor does: crops the rows of a piece and writes them aside, as a part."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._cropper = Cropper(job.cropper, **job.how)

    def __call__(self, pieces: Any) -> Any:
        job, new = self._job, self._cropper.columns
        results = []
        for piece in pieces.column("piece").to_pylist():
            name = f"{uuid.uuid4().hex}.parquet"
            part = self._cropper(job.rows(json.loads(piece))).select([*job.keep, *new.values()])
            part = part.replace_schema_metadata({_JOB: job.settings()})
            pq.write_table(part, job.unfinished(name), filesystem=job.filesystem)
            crops = sum(map(len, part.column(new["boxes"]).to_pylist()))
            reasons = Counter(part.column(new["reason"]).drop_null().to_pylist())
            results.append({"name": name, "crops": crops, "reasons": json.dumps(reasons)})
        return pa.Table.from_pylist(results)


def crop_parquet(
    source: str | os.PathLike[str] | Sequence[str],
    target: str | os.PathLike[str],
    *,
    key: str = "id",
    keep: Sequence[str] | None = None,
    cropper: Source = "nano",
    workers: int | None = None,
    rows_per_part: int = 128,
    num_cpus: float = 1,
    num_gpus: float = 0,
    **how: Any,
) -> Counts:
    """Crop the rows of parquet files into parquet files; a job that was cut off goes on.

    Every row is in the target once, with the columns of `Cropper`; their order is any. What a
    killed run has left counts as far as it is whole, and the next one does the rest. One run at a
    time may write to a target; in a folder of this machine a second one is refused.

    Args:
        source: a parquet file, a folder, or a list of files, the same from all nodes: paths, or a
            URI that `pyarrow.fs` reads. A row group is read up to the rows of each part, so groups
            of some hundred rows are best where they hold pictures.
        target: folder for the parts, the same from all nodes: a path, or such a URI.
        key: column whose values tell the rows apart: none is null or comes twice. They are kept in
            the driver's memory.
        keep: columns that are copied, besides the key; None for all, pictures included.
        cropper: see `Cropper`.
        workers: actors, each with a model; None for as many as the cluster has room for.
        rows_per_part: rows that an actor takes at a time and writes to a part of its own.
        num_cpus: of an actor.
        num_gpus: of an actor; with a fraction, several share a GPU.
        how: further arguments of `Cropper`.

    Raises:
        DataError: the source can't be read, its keys are none, or the target is in use, was made
            with other settings, or holds other rows.
        MissingDependencyError: Ray is not installed.
        OptionsError: an option makes no sense.
    """
    data, files = _ray_data(), _dataset(source)
    if rows_per_part < 1:
        raise OptionsError(f"rows_per_part={rows_per_part!r} must be at least 1")
    seen = [how.get("image", "image"), how.get("question", "question")]
    names = files.schema.names
    new = new_columns(how.get("prefix", "crop_"), how.get("pictures", False))
    check_columns(names, [key, *seen, *(keep or ())], list(new.values()))
    kept = names if keep is None else list(dict.fromkeys([key, *keep]))
    job = _Job(cropper, how, _model(cropper), key, seen, kept, *_place(target), files.filesystem)
    with _reserved(job):
        before = _written(job)
        _check_settings(job)
        pieces, keys = _pieces(files, key, before, rows_per_part)
        if not keys.issuperset(before):
            raise DataError(f"{job.place} has rows that the source has not; choose another target")
        crops, reasons = 0, Counter[str]()
        if pieces:
            parts = data.from_items(
                [{"piece": json.dumps(piece)} for piece in pieces],
                override_num_blocks=min(len(pieces), _MOST_BLOCKS),
            ).map_batches(
                _PartWriter,
                fn_constructor_args=(job,),
                batch_format="pyarrow",
                batch_size=1,
                compute=data.ActorPoolStrategy(
                    size=min(workers or _room(num_cpus, num_gpus), len(pieces))
                ),
                num_cpus=num_cpus,
                num_gpus=num_gpus or None,
            )
            for part in parts.iter_rows():
                name = part["name"]
                job.filesystem.move(job.unfinished(name), f"{job.place}/part-{name}")
                crops += part["crops"]
                reasons.update(json.loads(part["reasons"]))
        written = _written(job)
        if len(written) != len(keys) or set(written) != keys:
            raise DataError(
                f"{job.place} has {len(written)} rows for the {len(keys)} of the source; did "
                "another run write to it? Remove it and start again"
            )
    return Counts(len(keys), len(before), crops, dict(reasons.most_common()))


def _model(cropper: Source) -> str:
    """Return the digest of a folder's manifest, which holds those of its files; else a class."""
    if not isinstance(cropper, (str, os.PathLike)):
        return type(cropper).__qualname__
    return hashlib.sha256(find_folder(cropper).read(MANIFEST_NAME, limit=1_000_000)).hexdigest()


def _ray_data() -> Any:
    try:
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "crop_parquet needs Ray Data: pip install 'cropzoom[ray]'"
        ) from error
    return ray.data


def _room(num_cpus: float, num_gpus: float) -> int:
    """Return how many actors the cluster has room for."""
    import ray

    if not ray.is_initialized():
        ray.init()
    cluster = ray.cluster_resources()
    need = {"CPU": num_cpus, "GPU": num_gpus}
    most = [int(cluster.get(name, 0) // each) for name, each in need.items() if each > 0]
    if not min(most, default=1):
        raise OptionsError(
            f"no node has room for an actor of num_cpus={num_cpus}, num_gpus={num_gpus}: "
            f"the cluster has {cluster.get('CPU', 0):g} CPUs and {cluster.get('GPU', 0):g} GPUs"
        )
    return min(most, default=1)


def _dataset(source: str | os.PathLike[str] | Sequence[str]) -> Any:
    """Return the source's files, file system and schema."""
    given: Any = source
    if isinstance(source, (str, os.PathLike)):
        given = str(source)
    try:
        return pads.dataset(given, format="parquet")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"can't read {source} as parquet: {error}") from error


def _place(target: str | os.PathLike[str]) -> tuple[str, Any]:
    if "://" in str(target):
        filesystem, place = pafs.FileSystem.from_uri(str(target))
        return place.rstrip("/"), filesystem
    return str(Path(target).absolute()), pafs.LocalFileSystem()


@contextmanager
def _reserved(job: _Job) -> Iterator[None]:
    """Make the target, keep it to this run where that can be done, and leave no unfinished part."""
    try:
        job.filesystem.create_dir(job.place)
    except OSError as error:
        raise DataError(f"can't write {job.place}: {error}; choose another target") from error
    local = isinstance(job.filesystem, pafs.LocalFileSystem)
    with locked(job.place) if local else nullcontext():
        aside = f"{job.place}/{_UNFINISHED}"
        # What a killed run has left.
        job.filesystem.delete_dir_contents(aside, missing_dir_ok=True)
        job.filesystem.create_dir(aside)
        yield
        job.filesystem.delete_dir(aside)


def _parts(job: _Job) -> list[str]:
    """Return the paths of the parts that have got their names."""
    entries = job.filesystem.get_file_info(pafs.FileSelector(job.place))
    return sorted(entry.path for entry in entries if entry.base_name.startswith("part-"))


def _written(job: _Job) -> list[Any]:
    """Return the keys of the rows in the parts."""
    keys: list[Any] = []
    for part in _parts(job):
        keys += pq.read_table(part, columns=[job.key], filesystem=job.filesystem)[0].to_pylist()
    return keys


def _pieces(
    files: Any, key: str, before: Sequence[Any], rows_per_part: int
) -> tuple[list[dict[str, Any]], set[Any]]:
    """Return what is to be done, part by part, and the keys of all rows.

    Raises:
        DataError: a key is null or comes again.
    """
    pieces: list[dict[str, Any]] = []
    keys: set[Any] = set()
    skipped = set(before)
    for path in files.files:
        with pq.ParquetFile(path, filesystem=files.filesystem) as file:
            for group in range(file.num_row_groups):
                here = file.read_row_group(group, columns=[key])[0].to_pylist()
                count = len(keys) + len(here)
                keys.update(here)
                if len(keys) < count or None in keys:
                    raise DataError(
                        f"in {path}, the column {key!r} has a value that is null or comes again; "
                        "choose a key that tells the rows apart"
                    )
                rows = [number for number, value in enumerate(here) if value not in skipped]
                pieces += [
                    {"file": path, "group": group, "rows": rows[start : start + rows_per_part]}
                    for start in range(0, len(rows), rows_per_part)
                ]
    return pieces, keys


def _check_settings(job: _Job) -> None:
    """Check that what is in the target was made as it would be now."""
    for part in _parts(job)[:1]:
        metadata = pq.read_schema(part, filesystem=job.filesystem).metadata or {}
        before = metadata.get(_JOB, b"none")
        if before != job.settings():
            raise DataError(
                f"{job.place} was made with other settings: {before.decode()}, "
                f"now {job.settings().decode()}; choose another target"
            )
