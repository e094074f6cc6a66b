"""The web page as an application: what each address answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from torch import OutOfMemoryError

from vitreous.data.gallery import GALLERY
from vitreous.data.pictures import open_encoded
from vitreous.errors import DataError, ExplainError, UnknownName
from vitreous.inside.given import NOTHING, Given
from vitreous.masking.forward import Progress
from vitreous.methods.shared import reason
from vitreous.models.loaded import LoadedModel
from vitreous.serving.asked import Explain, Heads, Hide, job_of, mask_of, read
from vitreous.serving.cache import Cache, Gone
from vitreous.serving.guard import Guard
from vitreous.serving.limits import Limits
from vitreous.serving.live import Live, explain_live, heads_live, hidden_live, told
from vitreous.serving.page import Page, Said, error_page, start_page
from vitreous.serving.sent import TooLarge, read_body, read_form, read_json
from vitreous.serving.work import Busy, Done, Step, Worker

__all__ = ["make_app"]

T = TypeVar("T")

_PLAIN = {"Content-Security-Policy": "frame-ancestors 'none'"}
"""Beside the policy that stands in a page itself."""
_NAME = "picture"
"""Of what a visitor gives: file names are not taken."""


@dataclass(frozen=True)
class _Picture:
    """What a visitor gave.

    Attributes:
        encoded: the bytes of the file.
        name: for the page.
        file: of a sample.
        last: name of the last result of each model.
    """

    encoded: bytes
    name: str = _NAME
    file: Path | None = None
    last: dict[int, str] = field(default_factory=dict[int, str])


@dataclass(frozen=True)
class _Site:
    """All that the addresses share."""

    models: Sequence[LoadedModel]
    limits: Limits
    given: Given
    worker: Worker
    pictures: Cache[_Picture]
    results: Cache[Live]
    page: Page
    uploads: asyncio.Semaphore
    decoders: ThreadPoolExecutor


def make_app(models: Sequence[LoadedModel], hosts: frozenset[str], limits: Limits, given: Given = NOTHING) -> Guard:
    """The application.

    Args:
        models: that visitors choose from.
        hosts: names that the server goes by, with its port.
        limits: of what visitors may ask for.
        given: what is shown besides.
    """
    html, headers = start_page(models)
    site = _Site(
        models,
        limits,
        given,
        Worker(limits.waiting, limits.seconds),
        Cache("picture", limits.held, limits.held_bytes),
        Cache("result", limits.held, limits.held_bytes),
        Page(html, headers=headers),
        asyncio.Semaphore(limits.uploads),
        ThreadPoolExecutor(limits.decoded, "picture"),  # a picture takes six bytes a pixel meanwhile
    )

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        yield
        site.worker.close()
        site.decoders.shutdown(cancel_futures=True)

    def to(answer: Callable[[_Site, Request], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(site, request)
            except ExplainError as error:
                return Said({"error": error.alone}, _status(error))
            except ClientDisconnect:
                return Response(status_code=400)

        return endpoint

    async def start(_: Request) -> Response:
        return site.page

    routes = [
        Route("/", start),
        Route("/pictures", to(_take_picture), methods=["POST"]),
        Route("/samples/{name}", to(_take_sample), methods=["POST"]),
        Route("/explain", to(_explain), methods=["POST"]),
        Route("/hide", to(_hide), methods=["POST"]),
        Route("/heads", to(_heads), methods=["POST"]),
        Route("/plain", to(_explain_plainly), methods=["POST"]),
        Route("/results/{name}/report.html", to(_download)),
    ]
    said = {404: _sentence, 405: _sentence}
    return Guard(Starlette(routes=routes, lifespan=living, exception_handlers=said), hosts)


async def _sentence(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Said({"error": "there is nothing at this address. Open the page of this server."}, error.status_code)


async def _take_picture(site: _Site, request: Request) -> Response:
    """The bytes of a picture as they are; it is decoded once, to see that it is one."""
    limits = site.limits
    async with site.uploads:
        encoded = await read_body(request, limits.upload_bytes, limits.upload_seconds)
        opening = partial(open_encoded, encoded, "picture", most=limits.pixels)
        await asyncio.get_running_loop().run_in_executor(site.decoders, opening)
    return Said({"picture": site.pictures.put(_Picture(encoded), len(encoded))}, 201)


async def _take_sample(site: _Site, request: Request) -> Response:
    sample = _sample(request.path_params["name"])
    return Said({"picture": site.pictures.put(sample, len(sample.encoded))}, 201)


async def _explain(site: _Site, request: Request) -> Response:
    asked = read(Explain, await _asked(site, request))
    picture = site.pictures.get(asked.picture)
    subject, work = _prepared(site, asked, picture)

    def do(progress: Progress) -> dict[str, Any]:
        live = work(progress)
        picture.last[asked.model] = name = site.results.put(live, live.bytes)
        return told(live) | {"result": name}

    return _stream(site, subject, do)


async def _hide(site: _Site, request: Request) -> Response:
    asked = read(Hide, await _asked(site, request))
    live, mask = site.results.get(asked.result), mask_of(asked, site.limits.patches)
    return _stream(site, live.subject, lambda _: hidden_live(live, mask, asked.which))


async def _heads(site: _Site, request: Request) -> Response:
    asked = read(Heads, await _asked(site, request))
    live = site.results.get(asked.result)
    return _stream(site, live.subject, lambda _: heads_live(live, asked.block))


async def _explain_plainly(site: _Site, request: Request) -> Response:
    """For a browser that runs no scripts: a picture explained, as a page."""
    try:
        asked, picture = await _plainly_asked(site, request)
        subject, work = _prepared(site, asked, picture)
        live = await _unless_gone(request, site.worker.answer(subject.model, work))
    except ExplainError as error:
        return Page(error_page(error.alone), _status(error), headers=_PLAIN)
    return Page(live.page.whole, headers=_PLAIN)


async def _plainly_asked(site: _Site, request: Request) -> tuple[Explain, _Picture]:
    """What the fields of the form say: a sample's button, or a file."""
    limits = site.limits
    async with site.uploads:
        body = await read_body(request, limits.upload_bytes + limits.request_bytes, limits.upload_seconds)
        form = read_form(body, request.headers.get("content-type", ""))
    given = {name: value for name, value in form if name != "method"}
    methods = tuple(value.decode("latin-1") for name, value in form if name == "method")
    model = given.get("model", b"0").decode("latin-1")
    if not model.isdecimal():
        raise UnknownName("model", model[:80], [each.short_name for each in site.models])
    if "sample" in given:
        picture = _sample(given["sample"].decode("latin-1"))
    elif encoded := given.get("file"):
        picture = _Picture(encoded)
    else:
        raise DataError("no picture was given. Choose a file, or press one of the samples.")
    return Explain("", methods, int(model[:9]), trust="trust" in given), picture


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What work gives, which ends when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _download(site: _Site, request: Request) -> Response:
    live = site.results.get(request.path_params["name"])
    page = await asyncio.to_thread(lambda: live.page.whole)
    return Page(page, headers={"Content-Disposition": 'attachment; filename="report.html"'})


def _prepared(site: _Site, asked: Explain, picture: _Picture) -> tuple[LoadedModel, Callable[[Progress], Live]]:
    """The model, and what is to be done on its thread."""
    if not 0 <= asked.model < len(site.models):
        raise UnknownName("model", str(asked.model), [each.short_name for each in site.models])
    subject = site.models[asked.model]
    job = job_of(subject, asked, site.limits.methods)

    def work(progress: Progress) -> Live:
        opened = open_encoded(picture.encoded, picture.name, most=site.limits.pixels)
        before = site.results.find(picture.last.get(asked.model, ""))
        own = replace(job, progress=progress)
        return explain_live(own, opened, picture.name, picture.file, before, given=site.given)

    return subject, work


def _stream(site: _Site, subject: LoadedModel, do: Callable[[Progress], dict[str, Any]]) -> Response:
    """Lines of JSON: steps, and at last the answer or an error. A client that leaves stops the work.

    Raises:
        Busy: too many wait.
    """
    site.worker.check_room()

    async def lines() -> AsyncGenerator[str]:
        try:
            async for each in site.worker.follow(subject.model, do):
                step = {"waits": each.of} if isinstance(each, Step) and each.done < 0 else None
                yield _line(each.value if isinstance(each, Done) else step or {"done": each.done, "of": each.of})
        except (ExplainError, OutOfMemoryError) as error:
            yield _line({"error": reason(error)})

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"


async def _asked(site: _Site, request: Request) -> Any:
    return await read_json(request, site.limits.request_bytes, site.limits.upload_seconds)


def _sample(name: str) -> _Picture:
    if name not in GALLERY:
        raise UnknownName("sample picture", name[:80], list(GALLERY))
    return _Picture(GALLERY[name].read_bytes(), GALLERY[name].name, GALLERY[name])


def _status(error: ExplainError) -> int:
    match error:
        case Gone():
            return 404
        case Busy():
            return 503
        case TooLarge():
            return 413
        case _:
            return 400
