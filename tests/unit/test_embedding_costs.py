from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from forebay.pipeline.embedders.costs import EmbeddingCosts, costs_being_counted, counting_costs, sum_of_costs


def spend(tokens: int) -> None:
    counted = costs_being_counted()
    assert counted is not None
    counted.add(requests=1, tokens=tokens)


def test_nothing_is_told_where_nobody_was_asked() -> None:
    assert EmbeddingCosts(usd=0.0).to_json() == {}


def test_a_price_is_told_only_where_there_is_one() -> None:
    costs = EmbeddingCosts()
    costs.add(requests=1, tokens=5, waited_seconds=0.12345)
    assert costs.to_json() == {"requests": 1, "retries": 0, "tokens": 5, "waited_seconds": 0.123}
    costs.add(usd=0.0000012346)
    assert costs.to_json()["usd"] == 0.000001235


async def test_tasks_are_charged_apart_and_those_that_they_start_together() -> None:
    async def work(tokens: int) -> int:
        with counting_costs() as costs:
            await asyncio.gather(*(asyncio.create_task(later(tokens)) for _ in range(3)))
        return costs.tokens

    async def later(tokens: int) -> None:
        await asyncio.sleep(0)
        spend(tokens)

    assert await asyncio.gather(work(1), work(10), work(100)) == [3, 30, 300]
    assert costs_being_counted() is None


@given(st.lists(st.integers(0, 10**9), max_size=20))
def test_a_sum_over_slices_is_exact_to_the_last_digit_that_is_told(tokens: list[int]) -> None:
    parts = [{"requests": 1, "tokens": each, "usd": round(each * 0.02 / 1e6, 9)} for each in tokens]
    total = sum_of_costs(parts)
    assert (total == {}) == (not tokens)
    if tokens:
        assert (total["requests"], total["tokens"]) == (len(tokens), sum(tokens))
        assert abs(total["usd"] - sum(round(each * 0.02 / 1e6, 9) for each in tokens)) < 1e-8
        assert all(isinstance(total[name], int) for name in ("requests", "tokens"))
