"""What threads tell an event loop of the jobs of a request."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tinyforge.records.predictions import Piece
from tinyforge.server.jobs import Job, Told
from tinyforge.server.problems import Problem


def streams(count: int) -> list[Job]:
    return [Job([f"text {number}"], {}, "stream") for number in range(count)]


def test_what_comes_of_a_job_that_was_left_is_not_told() -> None:
    """A safeguard ends one of two answers while the model is still writing both."""

    async def story() -> tuple[list[Any], list[Any], list[Job]]:
        jobs, left = streams(2), []
        with Told(jobs, left.append, 5) as told:
            jobs[0].tell(Piece("a"))
            jobs[1].tell(Piece("b"))
            first = await told.next()
            told.leave(0)
            jobs[0].tell(Piece("unwanted"))
            jobs[0].tell(Piece("", finish_reason="stop"))
            jobs[0].tell(ZeroDivisionError())
            jobs[1].tell(Piece("c"))
            second = await told.next()
            return first, second, list(left)

    first, second, left = asyncio.run(story())
    assert [(place, piece.text) for place, piece in first] == [(0, "a"), (1, "b")]
    assert [(place, piece.text) for place, piece in second] == [(1, "c")]
    assert len(left) == 1


def test_only_what_is_left_over_comes_of_a_job_that_was_left() -> None:
    """It must not be taken for the end, nor for news, while another job goes on."""

    async def story() -> list[Any]:
        jobs = streams(2)
        with Told(jobs, lambda job: None, 5) as told:
            told.leave(0)
            jobs[0].tell(Piece("unwanted"))
            asyncio.get_running_loop().call_later(0.05, jobs[1].tell, Piece("late"))
            return await told.next()

    assert [(place, piece.text) for place, piece in asyncio.run(story())] == [(1, "late")]


def test_all_that_threads_tell_is_heard_in_order() -> None:
    """Many requests in one loop, told by several threads, with the loop awake and asleep."""
    count, pieces = 20, 50

    async def hear(told: Told) -> list[str]:
        texts = []
        while items := await told.next():
            texts += [piece.text for _, piece in items]
        return texts

    async def story() -> list[list[str]]:
        jobs = streams(count)
        tolds = [Told([job], lambda job: None, 20) for job in jobs]

        def write(some: list[Job]) -> None:
            for number in range(pieces):
                for job in some:
                    job.tell(Piece(str(number)))
                time.sleep(0.0005 * (number % 3))
            for job in some:
                job.tell(Piece("end", finish_reason="stop"))

        threads = [threading.Thread(target=write, args=[jobs[start::4]]) for start in range(4)]
        for thread in threads:
            thread.start()
        found = await asyncio.gather(*(hear(told) for told in tolds))
        for thread in threads:
            thread.join()
        return found

    wanted = [*map(str, range(pieces)), "end"]
    assert asyncio.run(story()) == [wanted] * count


def test_what_is_told_in_a_row_wakes_the_loop_once() -> None:
    async def story() -> int:
        jobs = streams(8)
        tolds = [Told([job], lambda job: None, 5) for job in jobs]
        hearing = [asyncio.ensure_future(told.next()) for told in tolds]
        await asyncio.sleep(0)
        loop, calls = asyncio.get_running_loop(), []
        wake = loop.call_soon_threadsafe

        def counted(*given: Any, **more: Any) -> Any:
            calls.append(given)
            return wake(*given, **more)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        for job in jobs:  # the loop cannot run meanwhile: this is its thread
            job.tell(Piece("a"))
        found = await asyncio.gather(*hearing)
        assert [items[0][1].text for items in found] == ["a"] * 8
        return len(calls)

    assert asyncio.run(story()) == 1


def test_an_answer_that_does_not_come_is_given_up_in_time() -> None:
    async def story() -> float:
        jobs = streams(1)
        started = time.monotonic()
        with Told(jobs, lambda job: None, 0.2) as told:
            jobs[0].tell(Piece("a"))
            await told.next()
            with pytest.raises(Problem, match="too long") as caught:
                await told.next()
        assert (caught.value.status, caught.value.code) == (504, "timeout")
        return time.monotonic() - started

    assert asyncio.run(story()) >= 0.2


def test_a_loop_that_has_ended_is_told_nothing() -> None:
    jobs = streams(2)

    async def story() -> None:
        with Told(jobs, lambda job: None, 5) as told:
            told.leave(0)

    asyncio.run(story())
    for job in jobs:
        job.tell(Piece("nobody hears this"))
