"""Random walks from patch to patch: the patches are nodes, edges join neighbors, and a walk uses each edge once."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Neighbors", "components", "draw_clocks", "edge_weights", "joined", "neighbors_of", "visited", "walk"]

Neighbors = Int[Tensor, "nodes slots"]
"""Per node the node in each direction, -1 beyond the edge of the grid; slots k and -1-k are opposite directions."""


def neighbors_of(height: int, width: int, directions: int = 4) -> Neighbors:
    """The neighbors of every node of a grid, numbered row by row.

    Args:
        height: of the grid.
        width: of the grid.
        directions: 4 (edges touch) or 8 (corners too).

    >>> neighbors_of(2, 2)
    tensor([[-1, -1,  1,  2],
            [-1,  0, -1,  3],
            [ 0, -1,  3, -1],
            [ 1,  2, -1, -1]])
    """
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y or x) and (directions == 8 or not (y and x))]
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    to_row, to_column = (torch.stack([at + step[axis] for step in steps], -1) for axis, at in enumerate((row, column)))
    inside = (to_row >= 0) & (to_row < height) & (to_column >= 0) & (to_column < width)
    return torch.where(inside, to_row * width + to_column, -1).flatten(0, 1)


def edge_weights(
    colors: Float[Tensor, "images nodes channels"], neighbors: Neighbors, beta: float
) -> Float[Tensor, "images nodes slots"]:
    """exp(-β·‖g_i - g_j‖²), squared differences divided by the largest over an image's edges; 0 where no edge is.

    >>> edge_weights(torch.tensor([[[0.0], [1.0], [1.0]]]), neighbors_of(1, 3), beta=2.0)[0, 1]
    tensor([0.0000, 0.1353, 1.0000, 0.0000])
    """
    there = neighbors >= 0
    squared = (colors[:, :, None] - colors[:, neighbors.clamp(min=0)]).square().sum(-1) * there
    tiny = torch.finfo(colors.dtype).tiny
    scaled = squared / squared.amax((1, 2), keepdim=True).clamp(min=tiny)
    return (-beta * scaled).exp().clamp(min=tiny) * there


def joined(regions: Int[Tensor, "images nodes"], neighbors: Neighbors) -> Bool[Tensor, "images nodes slots"]:
    """Where an edge joins two nodes of one region; nodes of a region below 0 have none.

    >>> joined(torch.tensor([[0, 0, 1, -1]]), neighbors_of(1, 4))[0, :, 2].tolist()
    [True, False, False, False]
    """
    there = torch.where(neighbors >= 0, regions[:, neighbors.clamp(min=0)], -1)
    return (there == regions[:, :, None]) & (there >= 0)


def walk(
    neighbors: Neighbors,
    weights: Float[Tensor, "images nodes slots"],
    image: Int[Tensor, " walkers"],
    start: Int[Tensor, " walkers"],
    clocks: Float[Tensor, "walkers steps slots"],
) -> Int[Tensor, "walkers nodes_visited"]:
    """All walkers of all images at once.

    A walker leaves along one of its unused edges, chosen with odds proportional to their weights. It stops after its
    last step, where no unused edge is left, or when the edge that it chose leads back to its start.

    Args:
        neighbors: of every node.
        weights: of the edges; 0 where there is none.
        image: of each walker.
        start: node of each walker.
        clocks: from `draw_clocks`; the edge with the largest weight / clock is chosen, which is the same as drawing in
            proportion to the weights.

    Returns:
        the nodes in order of visit, -1 after the end.
    """
    walkers, steps, slots = clocks.shape
    path = start.new_full((walkers, steps + 1), -1)
    path[:, 0] = start
    unused = torch.ones(walkers, len(neighbors), slots, dtype=torch.bool)
    everyone, here, going = torch.arange(walkers), start, torch.ones(walkers, dtype=torch.bool)
    for step in range(steps):
        odds = weights[image, here] * unused[everyone, here]
        slot = (odds / clocks[:, step]).argmax(1)
        there = neighbors[here, slot]
        going = going & (odds.amax(1) > 0) & (there != start)
        unused[everyone[going], here[going], slot[going]] = False
        unused[everyone[going], there[going], slots - 1 - slot[going]] = False
        here = torch.where(going, there, here)
        path[:, step + 1] = torch.where(going, there, -1)
    return path


def draw_clocks(walkers: int, steps: int, slots: int, seed: int) -> Float[Tensor, "walkers steps slots"]:
    """Exponentially distributed numbers for `walk`: the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    clocks = torch.empty(walkers, steps, slots, dtype=torch.float64).exponential_(generator=generator)
    return clocks.clamp(min=torch.finfo(clocks.dtype).tiny)


def visited(path: Int[Tensor, "walkers nodes_visited"], grid: tuple[int, int]) -> Bool[Tensor, "walkers h w"]:
    """The nodes of each walk, as a mask on the grid.

    >>> visited(torch.tensor([[0, 1, -1], [2, 3, 2]]), (2, 2)).int().tolist()
    [[[1, 1], [0, 0]], [[0, 0], [1, 1]]]
    """
    nodes = grid[0] * grid[1]
    seen = torch.zeros(len(path), nodes + 1, dtype=torch.bool)  # the last column takes the -1 after the end
    return seen.scatter(1, path % (nodes + 1), True)[:, :nodes].unflatten(1, grid)


def components(members: Bool[Tensor, " nodes"], neighbors: Neighbors) -> list[Bool[Tensor, " nodes"]]:
    """The connected parts of a set of nodes.

    >>> components(torch.tensor([True, False, True, True]), neighbors_of(1, 4))
    [tensor([ True, False, False, False]), tensor([False, False,  True,  True])]
    """
    none = len(members)
    label = torch.where(members, torch.arange(none), none)
    while True:
        around = torch.where(neighbors >= 0, label[neighbors.clamp(min=0)], none).amin(1)
        lower = torch.where(members, torch.minimum(label, around), none)
        if torch.equal(lower, label):
            return [label == first for first in label[members].unique().tolist()]
        label = lower
