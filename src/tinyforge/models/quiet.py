"""The one place where the chatter of the Hugging Face libraries is turned off.

Their warnings and progress bars speak of things that TinyForge already checks and says in its own
words; errors still pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers, peft and the hub client show no warnings and no bars.

    The log levels stay lowered afterwards, because generating and saving warn as well; Python
    warnings are caught only inside.
    """
    from huggingface_hub.utils.logging import set_verbosity_error
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    set_verbosity_error()  # type: ignore[no-untyped-call]
    disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
