"""The web page as an application: what each address answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from torch import OutOfMemoryError

from vitreous.data.gallery import GALLERY
from vitreous.data.pictures import open_encoded
from vitreous.errors import DataError, ExplainError, UnknownName
from vitreous.masking.forward import Progress
from vitreous.methods.shared import reason
from vitreous.models.loaded import LoadedModel
from vitreous.serving.asked import Explain, Hide, job_of, mask_of, read
from vitreous.serving.cache import Cache, Gone
from vitreous.serving.guard import Guard
from vitreous.serving.limits import Limits
from vitreous.serving.live import Live, explain_live, hidden_live, told
from vitreous.serving.page import error_page, start_page
from vitreous.serving.work import Busy, Done, Step, Worker

__all__ = ["make_app"]

_NAME = "picture"
"""Of what a visitor gives: file names are not taken."""


class _TooLarge(DataError):
    """A request has more bytes than it may."""


@dataclass(frozen=True)
class _Picture:
    """What a visitor gave."""

    encoded: bytes
    name: str = _NAME


@dataclass(frozen=True)
class _Site:
    """All that the addresses share."""

    models: Sequence[LoadedModel]
    limits: Limits
    worker: Worker
    pictures: Cache[_Picture]
    results: Cache[Live]
    page: HTMLResponse
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def make_app(models: Sequence[LoadedModel], hosts: frozenset[str], limits: Limits = Limits()) -> Guard:  # noqa: B008
    """The application.

    Args:
        models: that visitors choose from.
        hosts: names that the server goes by, with its port.
        limits: of what visitors may ask for.
    """
    html, headers = start_page(models)
    site = _Site(
        models,
        limits,
        Worker(limits.waiting, limits.seconds),
        Cache("picture", limits.held, limits.held_bytes),
        Cache("result", limits.held, limits.held_bytes),
        HTMLResponse(html, headers=headers),
        asyncio.Semaphore(limits.uploads),
    )

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        yield
        site.worker.close()

    def to(answer: Callable[[_Site, Request], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(site, request)
            except ExplainError as error:
                return JSONResponse({"error": error.alone}, _status(error))
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
        Route("/plain", to(_explain_plainly), methods=["POST"]),
        Route("/results/{name}/report.html", to(_download)),
    ]
    said = {404: _sentence, 405: _sentence}
    return Guard(Starlette(routes=routes, lifespan=living, exception_handlers=said), hosts)


async def _sentence(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": "there is nothing at this address. Open the page of this server."}, error.status_code)


async def _take_picture(site: _Site, request: Request) -> Response:
    """The bytes of a picture as they are; it is decoded once, to see that it is one."""
    limits = site.limits
    async with site.uploads:
        encoded = await _body(request, limits.upload_bytes, limits.upload_seconds)
        await asyncio.to_thread(open_encoded, encoded, "picture", most=limits.pixels)
    return JSONResponse({"picture": site.pictures.put(_Picture(encoded), len(encoded))}, 201)


async def _take_sample(site: _Site, request: Request) -> Response:
    sample = _sample(request.path_params["name"])
    return JSONResponse({"picture": site.pictures.put(sample, len(sample.encoded))}, 201)


async def _explain(site: _Site, request: Request) -> Response:
    asked = read(Explain, await _json(site, request))
    picture = site.pictures.get(asked.picture)
    subject, work = _prepared(site, asked, picture)

    def do(progress: Progress) -> dict[str, Any]:
        live = work(progress)
        return told(live) | {"result": site.results.put(live, live.bytes)}

    return _stream(site, subject, do)


async def _hide(site: _Site, request: Request) -> Response:
    asked = read(Hide, await _json(site, request))
    live, mask = site.results.get(asked.result), mask_of(asked, site.limits.patches)
    return _stream(site, live.subject, lambda _: hidden_live(live, mask, asked.which))


async def _explain_plainly(site: _Site, request: Request) -> Response:
    """For a browser that runs no scripts: a sample by one method, as a page."""
    body = (await _body(request, site.limits.request_bytes, site.limits.upload_seconds)).decode("latin-1")
    form = {name: value for name, _, value in (part.partition("=") for part in body.split("&"))}
    try:
        asked = Explain("", (form.get("method", ""),))
        subject, work = _prepared(site, asked, _sample(form.get("sample", "")))
        async for each in site.worker.follow(subject.model, work):
            if isinstance(each, Done):
                return HTMLResponse(
                    each.value.page.whole, headers={"Content-Security-Policy": "frame-ancestors 'none'"}
                )
    except ExplainError as error:
        return HTMLResponse(error_page(error.alone), _status(error))
    raise AssertionError("the last step is the answer")


async def _download(site: _Site, request: Request) -> Response:
    live = site.results.get(request.path_params["name"])
    page = await asyncio.to_thread(lambda: live.page.whole)
    return HTMLResponse(page, headers={"Content-Disposition": 'attachment; filename="report.html"'})


def _prepared(site: _Site, asked: Explain, picture: _Picture) -> tuple[LoadedModel, Callable[[Progress], Live]]:
    """The model, and what is to be done on its thread."""
    if not 0 <= asked.model < len(site.models):
        raise UnknownName("model", str(asked.model), [each.short_name for each in site.models])
    subject = site.models[asked.model]
    job = job_of(subject, asked, site.limits.methods)

    def work(progress: Progress) -> Live:
        opened = open_encoded(picture.encoded, picture.name, most=site.limits.pixels)
        return explain_live(replace(job, progress=progress), opened, picture.name)

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


async def _json(site: _Site, request: Request) -> Any:
    body = await _body(request, site.limits.request_bytes, site.limits.upload_seconds)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DataError("the request is no JSON. Load the page again.") from None


async def _body(request: Request, most: int, seconds: float) -> bytes:
    """The body, counted as it comes.

    Raises:
        DataError: it has more bytes, or takes longer.
    """
    too_large = _TooLarge(f"this has more than {most:,} bytes, which is all that is taken. Make it smaller first.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise DataError(f"this took more than {seconds:g} seconds to come. Send it again.") from None
    return b"".join(parts)


def _sample(name: str) -> _Picture:
    if name not in GALLERY:
        raise UnknownName("sample picture", name[:80], list(GALLERY))
    return _Picture(GALLERY[name].read_bytes(), GALLERY[name].name)


def _status(error: ExplainError) -> int:
    match error:
        case Gone():
            return 404
        case Busy():
            return 503
        case _TooLarge():
            return 413
        case _:
            return 400
