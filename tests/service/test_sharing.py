"""Readers who ask the same at about the same time get one answer, worked out once."""

import asyncio

import pytest

from driftbell.service.sharing import LONGEST, MAX_KEPT, Shared, Worked


class Costly:
    """A question whose answer costs ``seconds`` and tells how often it was worked out."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.times = 0
        self.release = asyncio.Event()
        self.release.set()

    async def __call__(self):
        await self.release.wait()
        self.times += 1
        return Worked(str(self.times).encode(), self.seconds)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_an_answer_that_cost_much_is_given_again_for_a_while():
    async def readers():
        clock, work = Clock(), Costly(0.2)
        shared = Shared(clock)
        first = await shared.answer("usage", work)
        clock.now += 3.9
        again = await shared.answer("usage", work)
        clock.now += 0.2
        return first, again, await shared.answer("usage", work)

    assert asyncio.run(readers()) == (b"1", b"1", b"2")


def test_no_answer_is_older_than_the_longest_time():
    async def readers():
        clock, work = Clock(), Costly(60)
        shared = Shared(clock)
        await shared.answer("usage", work)
        clock.now += LONGEST
        return await shared.answer("usage", work)

    assert asyncio.run(readers()) == b"2"


def test_a_cheap_answer_is_new_each_time():
    async def readers():
        shared, work = Shared(Clock()), Costly(0.01)
        return [await shared.answer("usage", work) for _ in range(2)]

    assert asyncio.run(readers()) == [b"1", b"2"]


def test_who_asks_at_once_gets_one_answer_and_other_questions_get_theirs():
    async def readers():
        shared, work, other = Shared(Clock()), Costly(0.01), Costly(0.01)
        work.release.clear()
        waiting = [asyncio.ensure_future(shared.answer("usage", work)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # whoever asked first goes away
        await shared.answer("points", other)
        work.release.set()
        return await asyncio.gather(*waiting[1:]), work.times, other.times

    answers, times, others = asyncio.run(readers())
    assert (set(answers), times, others) == ({b"1"}, 1, 1)


def test_a_failure_reaches_all_who_wait_and_is_not_kept():
    async def fails():
        raise KeyError("no such workflow")

    async def readers():
        shared = Shared(Clock())
        both = await asyncio.gather(*(shared.answer("usage", fails) for _ in range(2)), return_exceptions=True)
        return both, await shared.answer("usage", Costly(1))

    both, after = asyncio.run(readers())
    assert [type(each) for each in both] == [KeyError, KeyError]
    assert after == b"1"


@pytest.mark.parametrize("body", [b"x", b"x" * (2 << 20)])
def test_what_is_kept_is_bounded(body):
    async def work():
        return Worked(body, 1.0)

    async def readers():
        shared = Shared(Clock())
        for number in range(3 * MAX_KEPT):
            await shared.answer(str(number), work)
        return sum(len(kept) for _, kept in shared._kept.values())

    assert asyncio.run(readers()) <= MAX_KEPT
