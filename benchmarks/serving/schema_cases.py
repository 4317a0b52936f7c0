"""Cases made from the OpenAPI document of a running server: none may break it or its promises.

``python -m benchmarks.serving.schema_cases --cases 10000``

``schemathesis`` makes requests that the document allows, and requests that it does not. Most get
the name of a model that is there, so that they reach it. Counted are server errors (any status
from 500) and answers that are not as the document says: status, type, headers, schema, or a request
that the document does not allow and that was answered all the same. Exit code 1 where there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.figures import save, say
from benchmarks.serving.tiny_models import write_classifier, write_writer

NAMES = ("labels", "writer")
NEGATIVE = 0.3
"""Share of requests that the document does not allow."""
NAMED = 0.85
"""Share of requests that get the name of a model that is there."""
HEAVY = 20
"""How many more cases a route with a body gets than one without."""
NEXT_SEED = 1_000_003
"""Between the seeds of two rounds."""
SHOWN = 10


def main() -> None:
    """Ask, count, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000, help="requests in all (10,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", help="of a server that runs already; default: one is started")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    parser.add_argument("--save", action="store_true", help="keep the result in results/")
    chosen = parser.parse_args()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        address = chosen.address or stack.enter_context(serving())
        counts, failures = run(address, chosen.cases, chosen.seed)
    errors = counts["server errors"]
    violations = counts["schema violations"]
    for text in failures[:SHOWN]:
        say(text + "\n")
    for status in sorted(name for name in counts if name.startswith("status ")):
        say(f"{status:<18} {counts[status]:>7,}")
    say(
        f"{counts['cases']:,} cases in {time.monotonic() - started:,.0f} s: "
        f"{errors:,} server errors, {violations:,} schema violations"
    )
    result = {
        "benchmark": "serving.schema_cases", "seed": chosen.seed, **counts,
        "failed": failures[:SHOWN],
    }  # fmt: skip
    save("schema_cases", result, chosen)
    sys.exit(1 if errors or violations else 0)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """A server with a tiny classifier and a tiny writing model; its address."""
    with tempfile.TemporaryDirectory(prefix="tinyforge-schema-") as folder:
        home = Path(folder)
        models = [
            f"labels={write_classifier(home / 'labels')}",
            f"writer={write_writer(home / 'writer')}",
        ]
        command = [sys.executable, "-m", "tinyforge.cli.main", "serve", *models, "--port", "0"]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with subprocess.Popen(
            [*command, "--set", "log_requests=false"], stderr=subprocess.PIPE, text=True,
            env=environment,
        ) as process:  # fmt: skip
            try:
                for line in process.stderr or ():
                    if line.startswith("serving at "):
                        yield line.split()[-1]
                        return
                    sys.stderr.write(line)
                raise SystemExit("the server did not start")
            finally:
                process.terminate()


def run(address: str, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Counts of cases, of statuses and of what went wrong; and what went wrong, in words.

    A route may have fewer cases than its share; what is lacking then is made in another round,
    with another seed.
    """
    import schemathesis

    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [_operation(each) for each in schema.get_all_operations()]
    counts: Counter[str] = Counter()
    failures: list[str] = []
    while (before := counts["cases"]) < cases:
        for operation, mode, count in _shares(operations, cases - before):
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except Exception as error:  # nothing about this route can be said wrongly
                say(f"{operation.label}: {mode.value}: {error}")
                continue
            _ask(address, strategy, min(count, cases - counts["cases"]), seed, counts, failures)
            say(f"{operation.label}: {counts['cases']:,} cases so far")
        if counts["cases"] == before:
            raise SystemExit(f"only {before:,} cases can be made")
        seed += NEXT_SEED
    return counts, failures


def _operation(found: Any) -> Any:
    """A route of the document; raises what is wrong with it there."""
    from schemathesis.core.result import Err

    if isinstance(found, Err):
        raise found.err()
    return found.ok()


def _shares(operations: Sequence[Any], cases: int) -> Iterator[tuple[Any, Any, int]]:
    """Each route in both modes, and how many cases of it are wanted."""
    from schemathesis import GenerationMode

    weights = {each.label: HEAVY if each.body else 1 for each in operations}
    modes = ((GenerationMode.POSITIVE, 1 - NEGATIVE), (GenerationMode.NEGATIVE, NEGATIVE))
    for operation in operations:
        whole = cases * weights[operation.label] / sum(weights.values())
        for mode, share in modes:
            yield operation, mode, math.ceil(whole * share)


def _ask(
    address: str, strategy: Any, count: int, seed: int, counts: Counter[str], failures: list[str]
) -> None:
    """So many cases of one route in one mode, or all that it has."""
    if count < 1:
        return
    import hypothesis
    import requests
    from hypothesis.errors import HypothesisException

    draw = random.Random(seed)
    with requests.Session() as session:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=count, deadline=None, database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(case=strategy)
        def one(case: Any) -> None:
            # Another name is as valid as the one that was drawn; what is no name is there to be
            # refused.
            named = isinstance(case.body, dict) and isinstance(case.body.get("model"), str)
            if named and draw.random() < NAMED:
                case.body["model"] = draw.choice(NAMES)
            response = case.call(base_url=address, session=session, timeout=60)
            counts["cases"] += 1
            counts[f"status {response.status_code}"] += 1
            found = _wrong(case, response)
            if found:
                failures.append(found)
                kind = "server errors" if response.status_code >= 500 else "schema violations"
                counts[kind] += 1

        with contextlib.suppress(HypothesisException):  # a route may have fewer cases than asked
            one()


def _wrong(case: Any, response: Any) -> str | None:
    """What an answer does that the document does not say."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.failures import Failure, FailureGroup
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]
    try:
        case.validate_response(response, checks=wanted)
    except (Failure, FailureGroup) as failure:
        return str(failure)
    return None


if __name__ == "__main__":
    main()
