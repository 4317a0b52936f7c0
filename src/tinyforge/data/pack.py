"""Several short examples in one sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(
    lengths: NDArray[np.integer], max_length: int, *, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Bins of rows whose lengths together are at most ``max_length``.

    Best-fit decreasing: each row, the longest first, goes into the fullest bin that still takes
    it. The worst case is the same as of first-fit decreasing (11/9 of the fewest bins, Johnson
    1973), and by keeping bins sorted by the room left it takes constant time a row.

    Args:
        lengths: tokens of each row; a longer row than ``max_length`` gets a bin of its own.
        seed: decides which of equally long rows meet.

    Returns:
        Row numbers of each bin, every row exactly once; the same for the same arguments.
    """
    shuffled = np.random.Generator(np.random.PCG64([seed, 2])).permutation(len(lengths))
    order = shuffled[np.argsort(-lengths[shuffled], kind="stable")]
    bins: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(max_length + 1)]
    rooms = 0  # bit r is set where some bin has room for exactly r more tokens
    for row, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = rooms >> length if length <= max_length else 0
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = with_room[room].pop()
            if not with_room[room]:
                rooms &= ~(1 << room)
            bins[number].append(row)
        else:
            room, number = max_length, len(bins)
            bins.append([row])
        left = room - length
        if left > 0:
            with_room[left].append(number)
            rooms |= 1 << left
    return [np.array(members, dtype=np.int64) for members in bins]
