"""`cropzoom label`: boxes for supervised learning, from a teacher that knows the answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cropzoom.cli.flags import ColumnFlag, ImagesFlag, named_values
from cropzoom.cli.output import JsonFlag, Output
from cropzoom.data.columns import Units

if TYPE_CHECKING:
    from cropzoom.trainer.labels.teachers import Teacher


def label(
    data: Annotated[
        str,
        typer.Argument(
            help="textvqa, docvqa, infographicvqa or stvqa; a JSONL or parquet file; a folder; or "
            "'owner/name' on the hub.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the labelled rows.", show_default=False)],
    teacher: Annotated[
        Literal["vlm", "grid", "ocr"],
        typer.Option(
            help="vlm: a model that draws boxes. grid: the best of all boxes of a grid, by a "
            "reward. ocr: where the answer's text stands.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="vlm: name of the model.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="vlm: OpenAI-compatible server with it; OpenAI's own by default."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="vlm: load --model with transformers instead.")
    ] = False,
    coordinates: Annotated[
        Units,
        typer.Option(
            help="vlm: what its numbers count. Qwen2.5-VL: pixels; Qwen3-VL: thousandths."
        ),
    ] = "pixels",
    factor: Annotated[
        int, typer.Option(min=1, help="vlm: picture sides are multiples of it; Qwen3-VL: 32.")
    ] = 28,
    min_pixels: Annotated[int, typer.Option(min=1, help="vlm: smaller pictures are enlarged.")] = 4
    * 28
    * 28,
    max_pixels: Annotated[int, typer.Option(min=1, help="vlm: larger pictures are shrunk.")] = 2560
    * 28
    * 28,
    concurrency: Annotated[
        int, typer.Option(min=1, max=512, help="vlm: requests at the same time.")
    ] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="vlm: seconds for a request.")] = 120.0,
    retries: Annotated[int, typer.Option(min=0, help="vlm: the client's, for a request.")] = 3,
    max_failures: Annotated[
        int, typer.Option(min=1, help="vlm: stop after so many failures in a row.")
    ] = 20,
    reward: Annotated[
        str, typer.Option(help="grid: likelihood, accuracy, legibility, ...")
    ] = "likelihood",
    reward_option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="grid: for the reward, such as model=FOLDER."),
    ] = None,
    cells: Annotated[int, typer.Option(min=2, max=20, help="grid: cells along each side.")] = 5,
    expand: Annotated[
        bool | None,
        typer.Option(
            "--expand/--no-expand",
            help="Enlarge boxes as the paper does: areas x45, 10, 4, 2, 1 by fifths of their size. "
            "On for vlm and ocr, off for grid.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Of the data, such as 'train[:1000]'.")] = "train",
    config: Annotated[str | None, typer.Option(help="Of a hub data set with several.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Read DATA, a local copy, with this preset's columns.")
    ] = None,
    column: ColumnFlag = None,
    images: ImagesFlag = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read so many rows at most.")] = None,
    shard: Annotated[
        str, typer.Option(metavar="N/OF", help="Label one part; others fill the same folder.")
    ] = "1/1",
    as_json: JsonFlag = False,
) -> None:
    """Draw the boxes that supervised learning starts from.

    Killed or stopped, the same command goes on where it was. Rows without a box are dropped and
    counted. The key for a server is taken from OPENAI_API_KEY; one given with `--base-url` may
    need none.

    Example: `cropzoom label docvqa labels/ --teacher vlm -m Qwen/Qwen2.5-VL-7B-Instruct
    --base-url http://localhost:8000/v1`
    """
    options = dict(locals())
    with Output(options.pop("as_json")) as output:
        _label(options, output)


def _label(options: dict[str, Any], output: Output) -> None:
    from cropzoom.data.columns import ColumnMap
    from cropzoom.data.rows import load_rows
    from cropzoom.errors import MissingDependencyError

    try:
        from cropzoom.trainer.labels.expansion import PAPER_FACTORS
        from cropzoom.trainer.labels.labelling import Shard, label_rows
    except ImportError as error:
        raise MissingDependencyError(
            f"labelling needs more packages ({error}); pip install 'cropzoom[train]'"
        ) from error
    columns = ColumnMap.parse(options["column"]) if options["column"] else None
    shard = Shard.parse(options["shard"])
    grid = options["teacher"] == "grid"
    expand = not grid if options["expand"] is None else options["expand"]
    with output.progress() as progress:
        task = progress.add_task("Making the teacher ready", total=None)
        teacher = _teacher(options)
        progress.update(task, description=f"Loading {options['data']}")
        rows = load_rows(
            options["data"],
            preset=options["preset"],
            split=options["split"],
            config=options["config"],
            columns=columns,
            image_folder=options["images"],
            boxes="ignore",
            limit=options["limit"],
        )

        def show(done: int, total: int) -> None:
            progress.update(
                task, description=f"Labelled {done} of {total}", completed=done, total=total
            )

        result = label_rows(
            rows,
            teacher,
            options["out"],
            shard=shard,
            arguments={
                "data": options["data"],
                "preset": options["preset"],
                "split": options["split"],
                "config": options["config"],
                "columns": options["column"] or [],
            },
            factors=PAPER_FACTORS if expand else None,
            max_failures=options["max_failures"],
            on_done=show,
        )
    output.json({"out": str(options["out"]), **result})
    _print_result(result, options["out"], output)


def _teacher(options: dict[str, Any]) -> Teacher:
    from cropzoom.errors import OptionsError
    from cropzoom.trainer.labels.teachers import GridTeacher, OcrTeacher

    if options["teacher"] == "ocr":
        from cropzoom.reading.ocr import OcrReader

        return OcrTeacher(OcrReader())
    if options["teacher"] == "grid":
        from cropzoom.trainer.rewards import make_reward

        values = named_values(options["reward_option"] or [], "--reward-option")
        grid = GridTeacher(make_reward(options["reward"], **values), cells=options["cells"])
        grid.arguments |= {"reward": options["reward"], "reward_options": values}
        return grid
    from cropzoom.trainer.labels.vlm_teacher import Ask, LocalVlm, ServerVlm, VlmTeacher

    model = options["model"]
    if model is None:
        raise OptionsError("--teacher vlm needs the name of a model; add --model NAME")
    ask: Ask = LocalVlm(model) if options["local"] else ServerVlm(_client(options), model)
    return VlmTeacher(
        ask,
        model=model,
        coordinates=options["coordinates"],
        factor=options["factor"],
        min_pixels=options["min_pixels"],
        max_pixels=options["max_pixels"],
        workers=1 if options["local"] else options["concurrency"],
    )


def _client(options: dict[str, Any]) -> Any:
    from cropzoom.clients.connect import connect, naming_target

    with naming_target(options["base_url"], options["model"]):
        client = connect(options["base_url"])
    return client.with_options(timeout=options["timeout"], max_retries=options["retries"])


def _print_result(result: dict[str, Any], out: Path, output: Output) -> None:
    dropped = [*result["failures"].items(), *result["skipped"].items()]
    if dropped:
        output.table(["Dropped because", "Rows"], [[reason, str(n)] for reason, n in dropped])
    if result["to_ask_again"]:
        output.warn(
            f"{result['to_ask_again']} rows got no answer from the server; the same command asks "
            "them again."
        )
    if "missing_shards" in result:
        missing = ", ".join(map(str, result["missing_shards"]))
        output.text(
            f"{result['labelled']} of {result['rows']} rows of this shard have a box. "
            f"{out / 'rows.jsonl'} will be written when the others are finished: {missing}."
        )
        return
    output.text(f"{result['labelled']} of {result['rows']} rows have a box.", style="bold")
    before, after = result["area_drawn"]["p50"], result["area"]["p50"]
    output.text(
        f"{out / 'rows.jsonl'}: half of the boxes cover less than {after:.1%} of their picture"
        + (f" ({before:.1%} as drawn)." if result["factors"] else ".")
    )
