"""How much a visitor of the page may ask for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Every bound of the page.

    Attributes:
        upload_bytes: of one picture file.
        pixels: of one picture.
        upload_seconds: in which it must have come.
        uploads: that come at the same time; further ones wait.
        decoded: pictures that are decoded at the same time, to see whether they are some.
        head_seconds: in which a connection must have said what it asks for.
        taking_seconds: in which an answer must have been read.
        request_bytes: of any other request.
        methods: in one request.
        patches: of a grid on which some are hidden.
        waiting: requests that wait for the model; further ones are refused.
        seconds: that the model works for one request.
        held: pictures that are kept, and results; the oldest go first.
        held_bytes: of the pictures together, and of the results.
    """

    upload_bytes: int = 20_000_000
    pixels: int = 40_000_000
    upload_seconds: float = 30.0
    uploads: int = 8
    decoded: int = 1
    head_seconds: float = 10.0
    taking_seconds: float = 60.0
    request_bytes: int = 100_000
    methods: int = 8
    patches: int = 65_536
    waiting: int = 16
    seconds: float = 300.0
    held: int = 64
    held_bytes: int = 200_000_000
