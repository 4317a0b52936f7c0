"""What every display of long work has: a bar on a terminal, a clock where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tqdm import tqdm


class Display:
    """Shows on standard error how far work is; use it as a context, which clears the bar.

    Args:
        terminal: whether to draw a bar; default: where standard error is a terminal.
        clock: seconds, for tests.
    """

    def __init__(
        self, *, terminal: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._clock = clock
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _drawn(self, layout: str, total: int, **more: Any) -> tqdm[Any]:
        """The bar, drawn on first use.

        Args:
            layout: tqdm's ``bar_format``.
            more: further arguments of tqdm.
        """
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, file=sys.stderr, leave=False, dynamic_ncols=True, bar_format=layout,
                **more,
            )  # fmt: skip
        return self._bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
