"""The split: whole clusters, the wanted shares, and nothing moves when sources are added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.config.prepare import SplitSettings
from tinyforge.corpus.split import Clusters, assign_parts
from tinyforge.corpus.stages.reading_job import split_key

TENTHS = SplitSettings(validation_share=0.1, test_share=0.1)


def corpus(
    ids: list[str],
    *,
    cluster: list[int] | None = None,
    dropped: set[int] | None = None,
    characters: list[int] | None = None,
    seed: int = 0,
) -> Clusters:
    count = len(ids)
    sources = list(dict.fromkeys(name.partition("/")[0] for name in ids))
    kept = np.ones(count, dtype=bool)
    kept[list(dropped or ())] = False
    return Clusters(
        np.array(cluster if cluster is not None else range(count), dtype=np.int64),
        kept,
        np.array(characters or [100] * count, dtype=np.int64),
        np.array([sources.index(name.partition("/")[0]) for name in ids], dtype=np.int32),
        np.array([split_key(name, seed) for name in ids], dtype=np.uint64),
    )


def names(source: str, count: int) -> list[str]:
    return [f"{source}/{i}" for i in range(count)]


def test_shares_of_documents_and_of_characters() -> None:
    ids = names("a", 1000)
    parts = assign_parts(corpus(ids), TENTHS)
    assert [int((parts == part).sum()) for part in range(3)] == [800, 100, 100]
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 10_000, 1000).tolist()
    found = corpus(ids, characters=sizes)
    parts = assign_parts(found, TENTHS)
    for part in (1, 2):
        share = found.characters[parts == part].sum() / found.characters.sum()
        assert abs(share - 0.1) < 0.005
    by_documents = SplitSettings(validation_share=0.1, test_share=0.1, by="documents")
    assert int((assign_parts(found, by_documents) == 1).sum()) == 100


def test_each_source_is_split_for_itself() -> None:
    found = corpus([*names("a", 500), *names("b", 50)])
    parts = assign_parts(found, TENTHS)
    for source in (0, 1):
        here = parts[found.home == source]
        assert int((here == 1).sum()) == int((here == 2).sum()) == len(here) // 10


def test_adding_sources_moves_nothing() -> None:
    """Not even where documents of the new source are like old ones."""
    before = assign_parts(corpus(names("b", 300)), TENTHS)
    ids = [*names("b", 300), *names("c", 90)]
    cluster = [*range(300), *range(0, 180, 2)]
    dropped = set(range(300, 350))
    after = assign_parts(corpus(ids, cluster=cluster, dropped=dropped), TENTHS)
    assert after[:300].tolist() == before.tolist()
    assert after[350:].tolist() == before[100:180:2].tolist()


def test_another_seed_gives_another_split() -> None:
    ids = names("a", 300)
    first, second = (assign_parts(corpus(ids, seed=seed), TENTHS) for seed in (0, 1))
    assert (first != second).sum() > 50


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_clusters_stay_together(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    cluster: list[int] = []
    for i in range(count):
        cluster.append(data.draw(st.sampled_from([i, *sorted(set(cluster))])))
    dropped = set(data.draw(st.lists(st.integers(0, count - 1))))
    sizes = data.draw(st.lists(st.integers(0, 10**7), min_size=count, max_size=count))
    found = corpus(names("a", count), cluster=cluster, dropped=dropped, characters=sizes)
    parts = assign_parts(found, TENTHS)
    assert parts.dtype == np.int8
    assert ((parts == -1) == ~found.kept).all()
    for number in set(cluster):
        members = parts[(found.cluster == number) & found.kept]
        assert len(set(members.tolist())) <= 1


@pytest.mark.parametrize(
    ("sizes", "held"),
    [([100], 0), ([100, 100, 100], 0), ([100] * 5, 2), ([10_000, 1, 1, 1], 2), ([], 0)],
)
def test_few_documents(sizes: list[int], held: int) -> None:
    """A part gets at least one document, but never a large share of a small source."""
    parts = assign_parts(corpus(names("a", len(sizes)), characters=sizes), TENTHS)
    assert int((parts > 0).sum()) == held
    if sizes and sizes[0] > 9_000:
        assert parts[0] == 0


def test_nothing_is_held_out_where_nothing_is_wanted() -> None:
    none = SplitSettings(validation_share=0, test_share=0)
    assert (assign_parts(corpus(names("a", 100)), none) == 0).all()
