"""Numbers as pages and sheets write them."""

from __future__ import annotations

from vitreous.errors import UnknownName

__all__ = ["block_name", "check_block", "check_patch", "concept_name", "number", "patch_name"]


def number(value: float, form: str = ".3g") -> str:
    """A number to three digits, or in another format of Python's, as the viewer of pages writes it.

    >>> number(-0.12345), number(0.25, "+.3f"), number(12345678), number(-3.2e-05)
    ('-0.123', '+0.250', '1.23e+7', '-3.2e-5')
    """
    digits, power, exponent = f"{value:{form}}".partition("e")
    return f"{digits}e{int(exponent):+}" if power else digits


def block_name(index: int) -> str:
    """A block of a model as people are told of it, counted from 1; what programs read counts from 0.

    >>> block_name(0)
    'block 1'
    """
    return f"block {index + 1}"


def check_block(index: int, blocks: int) -> None:
    """Refuse a block, from 0, that a model of so many has not.

    Raises:
        UnknownName: there is no such block.
    """
    if not 0 <= index < blocks:
        remedy = "Commands and pages count blocks from 1, Python and files from 0."
        raise UnknownName("block", str(index + 1), [f"1 … {blocks}"], near=(), remedy=remedy)


def concept_name(index: int) -> str:
    """A concept as people are told of it, counted from 1; what programs read counts from 0.

    >>> concept_name(0)
    'Concept 1'
    """
    return f"Concept {index + 1}"


def patch_name(row: int, column: int) -> str:
    """A patch as people are told of it, row and column counted from 1; what programs read counts from 0.

    >>> patch_name(0, 2)
    '1,3'
    """
    return f"{row + 1},{column + 1}"


def check_patch(patch: tuple[int, int], grid: tuple[int, int]) -> None:
    """Refuse a patch, (row, column) from 0, that a grid of (height, width) has not.

    Raises:
        UnknownName: there is no such patch.
    """
    if not all(0 <= at < size for at, size in zip(patch, grid, strict=True)):
        height, width = grid
        raise UnknownName("patch", patch_name(*patch), [f"{patch_name(0, 0)} … {patch_name(height - 1, width - 1)}"])
