"""`cropzoom mcp`: a tool for agents, which zooms where a cropper says.

`find_region(image, question)` gives the boxes of the answer, how sure they are, and the crops as
pictures. `RegionFinder` is what stands behind it; `server` speaks MCP, over stdio or HTTP.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from cropzoom.cropper import Cropper
from cropzoom.errors import CropZoomError, ImageError, OptionsError, RequestError
from cropzoom.files import read_inside
from cropzoom.images import decode_data_uri
from cropzoom.options import ZoomOptions
from cropzoom.zoom import Zoom, Zoomed

MAX_REGIONS = 8
# A question is a sentence; a whole document in its place is a mistake of the agent.
_MAX_QUESTION = 20_000
# No file system takes a longer path, and no picture worth a crop is shorter as base64.
_MAX_PATH = 4096
# What base64 takes for three bytes, and what else stands in a request.
_BASE64 = 4 / 3
_ENVELOPE = 200_000


class Region(BaseModel):
    """A part of the picture that may hold the answer."""

    pixels: list[int] = Field(
        description="[left, top, right, bottom] in pixels of the upright picture; right and "
        "bottom are exclusive"
    )
    fractions: list[float] = Field(
        description="[left, top, right, bottom] in fractions of the picture's width and height"
    )
    confidence: float = Field(description="0 to 1")
    sure: bool = Field(description="whether the confidence suffices to look only there")
    crop: list[int] = Field(description="[width, height] in pixels of the crop that is returned")


class Regions(BaseModel):
    """What was found in a picture."""

    width: int = Field(description="of the upright picture, in pixels")
    height: int = Field(description="of the upright picture, in pixels")
    regions: list[Region] = Field(description="best first; empty where there is none")
    note: str = Field(description="what to do about it")


@dataclass(frozen=True, slots=True)
class RegionFinder:
    """Finds where on a picture the answer to a question stands. Thread-safe.

    Args:
        zoom: the cropper with its cache and its line.
        roots: folders that pictures may be read from; none: no file is read.
        fetch: whether pictures at public http(s) addresses are downloaded.
        max_bytes: most bytes of a picture's file, however it comes.
        sure: confidence from which a region is called sure, 0 to 1.
    """

    zoom: Zoom
    roots: tuple[Path, ...] = ()
    fetch: bool = False
    max_bytes: int = 20_000_000
    sure: float = ZoomOptions().min_confidence

    def find(self, image: str, question: str, k: int = 1) -> tuple[Regions, list[Zoomed]]:
        """Return the regions and their crops, best first.

        Args:
            image: a data URI, base64, an http(s) address or a path.
            question: what is looked for.
            k: most regions, 1 to 8.

        Raises:
            CropZoomError: the picture can't be had or read, or an argument makes no sense.
        """
        if not question.strip():
            raise RequestError("the question is empty; say what to look for on the picture")
        if len(question) > _MAX_QUESTION:
            raise RequestError(
                f"the question has {len(question):,} characters, the most is {_MAX_QUESTION:,}; "
                "ask for one thing in a sentence"
            )
        if not 1 <= k <= MAX_REGIONS:
            raise OptionsError(f"k={k} must be between 1 and {MAX_REGIONS}")
        data = self.read(image)
        options = ZoomOptions(max_crops=k, min_confidence=0, max_area=1, target_side=0)
        crops, report = self.zoom.crops(data, question, options=options, strict=True)
        assert report.size is not None
        width, height = report.size
        regions = [
            Region(
                pixels=list(item.crop.box.to_pixels(width, height)),
                fractions=[item.crop.box.x0, item.crop.box.y0, item.crop.box.x1, item.crop.box.y1],
                confidence=item.crop.confidence,
                sure=item.crop.confidence >= self.sure,
                crop=[item.image.width, item.image.height],
            )
            for item in crops
        ]
        return Regions(width=width, height=height, regions=regions, note=_note(regions)), crops

    def read(self, image: str) -> bytes:
        """Return a picture's file, read, decoded or downloaded within the limits.

        Raises:
            CropZoomError: it may not be had, can't be had, or is too large.
        """
        image = image.strip()
        start = image[:8].lower()
        if start.startswith("data:"):
            return self._decoded(image)
        if start.startswith(("http://", "https://")):
            return self._fetched(image)
        if start.startswith("file:"):
            return self._file(unquote(urlsplit(image).path))
        if len(image) > _MAX_PATH or (not self.roots and _is_base64(image)):
            return self._decoded("data:;base64," + image)
        try:
            return self._file(image)
        except ImageError:
            if _is_base64(image):
                return self._decoded("data:;base64," + image)
            raise

    def _decoded(self, uri: str) -> bytes:
        # Counted before it is decoded.
        if len(uri) > self.max_bytes * _BASE64 + 1000:
            raise self._too_large(int(len(uri) / _BASE64))
        data = decode_data_uri(uri)
        if len(data) > self.max_bytes:
            raise self._too_large(len(data))
        return data

    def _fetched(self, url: str) -> bytes:
        if not self.fetch:
            raise ImageError(
                "the image is an address and nothing is downloaded here; send its bytes as a "
                "data URI, or start the server with --fetch"
            )
        from cropzoom.fetch import fetch_image

        return fetch_image(url, timeout=10.0, max_bytes=self.max_bytes)

    def _file(self, name: str) -> bytes:
        if not self.roots:
            raise ImageError(
                "the image is no data URI, base64 or address, and no file may be read here; send "
                "its bytes as a data URI, or start the server with --root FOLDER"
            )
        for root in self.roots:
            data = read_inside(root, name, self.max_bytes)
            if data is not None:
                return data
        # Whether there is such a file elsewhere is nobody's business.
        raise ImageError(
            f"there is no file {name[:200]!r} under the folders that may be read "
            f"({', '.join(map(str, self.roots))}); put the picture there, or send its bytes as a "
            "data URI"
        )

    def _too_large(self, size: int) -> ImageError:
        return ImageError(
            f"the image has {size:,} bytes, the most is {self.max_bytes:,}; shrink it, or start "
            "the server with a larger --max-bytes"
        )


def allowed_roots(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders that pictures may be read from, links resolved.

    Raises:
        OptionsError: one is no folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise OptionsError(f"--root {folder} is no folder; make it, or choose another")
    return tuple(folder.resolve() for folder in folders)


def server(finder: RegionFinder) -> MCPServer:
    """Return an MCP server with the one tool `find_region`."""
    from cropzoom import __version__

    def find_region(
        image: Annotated[
            str,
            Field(
                description="The picture: a data URI, base64, an http(s) address or a path. "
                "Addresses and paths only where the server was started so."
            ),
        ],
        question: Annotated[
            str, Field(description="What is looked for, in a sentence: 'What is the total?'")
        ],
        k: Annotated[int, Field(description="Most regions, best first.", ge=1, le=MAX_REGIONS)] = 1,
    ) -> Annotated[CallToolResult, Regions]:
        """Find where on a picture the answer to a question stands, and return that part enlarged.

        Use it before reading small print on a page, form, receipt, chart or screenshot, instead
        of guessing a box. It returns boxes, how sure they are, and each crop as a picture.
        """
        try:
            regions, crops = finder.find(image, question, k)
        except CropZoomError as error:
            raise ToolError(str(error)) from error
        content: list[ContentBlock] = [TextContent(text=regions.model_dump_json())]
        for item in crops:
            data = base64.b64encode(item.image.data).decode("ascii")
            content.append(ImageContent(data=data, mime_type=item.image.mime))
        return CallToolResult(content=content, structured_content=regions.model_dump())

    # Warnings only: at INFO it logs what clients send.
    made = MCPServer(
        "cropzoom",
        title="cropzoom",
        version=__version__,
        instructions="find_region says where on a picture the answer to a question stands.",
        log_level="WARNING",
    )
    made.add_tool(
        find_region,
        title="Find the region that answers a question",
        annotations=ToolAnnotations(
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=finder.fetch,
        ),
    )
    return made


def finder_for(
    cropper: Cropper,
    *,
    roots: Sequence[Path] = (),
    fetch: bool = False,
    max_bytes: int = 20_000_000,
) -> RegionFinder:
    """Return a finder with a cropper; arguments as of `RegionFinder`.

    Raises:
        OptionsError: a root is no folder.
    """
    return RegionFinder(Zoom(cropper), allowed_roots(roots), fetch, max_bytes)


def request_limit(finder: RegionFinder) -> int:
    """Return the most bytes that an HTTP request to a finder's server may have."""
    return int(finder.max_bytes * _BASE64) + _ENVELOPE


def _note(regions: Sequence[Region]) -> str:
    if not regions:
        return "no region was proposed; look at the whole picture"
    if not regions[0].sure:
        return "the best region is unsure; look at the whole picture, too"
    return "the answer is most likely on the first crop"


def _is_base64(text: str) -> bool:
    """Tell whether a text is a picture's file in base64, by how such files begin."""
    try:
        start = decode_data_uri("data:;base64," + text[:64])
    except ImageError:
        return False
    return start.startswith(
        (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
    )
