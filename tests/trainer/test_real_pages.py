"""Real pages in training: the split by shop, questions from lines, windows with exact boxes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from cropzoom.trainer.nano.real_pages import RealPages, parts, real_page
from cropzoom.trainer.nano.real_split import Line, RealPicture, part_of, read_pictures

LINES = [
    ("CORNER MART SDN BHD", (0.2, 0.05, 0.8, 0.09)),
    ("TEL: 03-1234 5678", (0.3, 0.12, 0.7, 0.15)),
    ("COLA LIGHT 500ML", (0.05, 0.3, 0.5, 0.34)),
    ("4.40", (0.8, 0.3, 0.95, 0.34)),
]


def write(folder: Path, shops: int) -> None:
    (folder / "sroie").mkdir(parents=True)
    rows, lines = [], []
    for index in range(shops):
        name = f"r{index}.png"
        image = Image.new("L", (300, 500), 240)
        draw = ImageDraw.Draw(image)
        for text, box in LINES:
            draw.text((box[0] * 300, box[1] * 500), text, fill=20)
        image.save(folder / "sroie" / name)
        box = LINES[0][1]
        rows.append(
            {
                "image": name,
                "question": "Who is the seller?",
                # Two branches of a shop write its name in their own ways.
                "answers": [f"SHOP {index // 2}{' S/B' if index % 2 else ' Sdn. Bhd.'}"],
                "box": box,
                "value": box,
                "key": "",
                "kind": "company",
            }
        )
        lines.append({"image": name, "lines": [{"text": t, "box": b} for t, b in LINES]})
    for file, content in (("rows", rows), ("lines", lines)):
        text = "".join(json.dumps(entry) + "\n" for entry in content)
        (folder / "sroie" / f"{file}.jsonl").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, 24)
    return tmp_path


def test_a_shop_is_in_one_part_and_every_picture_in_one(folder: Path) -> None:
    pictures = {p: read_pictures(folder, p) for p in ("train", "choice", "validation")}  # type: ignore[arg-type]
    names = [picture.path.name for own in pictures.values() for picture in own]
    assert sorted(names) == sorted(f"r{i}.png" for i in range(24))
    shops = {part: {picture.group for picture in own} for part, own in pictures.items()}
    assert shops["train"] and shops["validation"]
    assert len(set().union(*shops.values())) == sum(map(len, shops.values())) == 12
    assert all(part_of(picture) == part for part, own in pictures.items() for picture in own)


def test_lines_are_asked_about_where_they_stand(folder: Path) -> None:
    picture = read_pictures(folder, "train")[0]
    asked: dict[str, set[str]] = {}
    for seed in range(30):
        page = real_page(random.Random(seed), picture, 400, 8)
        assert max(page.image.size) == 400
        for question in page.questions:
            if question.region is None:
                continue
            asked.setdefault(question.answer, set()).add(question.text)
            x0, y0, x1, y1 = question.region
            assert x0 < x1 and y0 < y1
            assert x0 >= -2 and y0 >= -2 and x1 <= page.image.width + 2
    # The shop by its row, the price by its line, the telephone by its looks.
    assert {"4.40", "TEL: 03-1234 5678"} <= set(asked)
    assert len(asked["4.40"]) > 5 and any("cola" in text.lower() for text in asked["4.40"])


def test_batches_have_pages_of_one_size(folder: Path) -> None:
    pages = RealPages(read_pictures(folder, "train")).draw(random.Random(4), 6)
    assert len({page.image.size for page in pages}) == 1
    assert all(side % 32 == 0 for side in pages[0].image.size)


def test_the_words_of_a_line_share_its_box() -> None:
    first, second = parts(Line("ab cd", (0.0, 0.2, 1.0, 0.3)))
    assert first[0] == "ab" and second[0] == "cd"
    assert first[1][0] == 0.0 and second[1][2] == pytest.approx(1.0)
    assert first[1][2] < second[1][0]  # the space between


def test_a_picture_alone_has_a_part() -> None:
    picture = RealPicture(Path("a.png"), "ui", "a.png", (), ())
    assert part_of(picture) == part_of(picture)
