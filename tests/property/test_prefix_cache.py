"""Prefix caches against a slow and obvious one."""

from hypothesis import given
from hypothesis import strategies as st

from planner.trace.imports.prefix_cache import PrefixCache, cached_tokens


def test_a_run_of_hits_stops_at_the_first_unseen_block() -> None:
    cache = PrefixCache()
    assert cache.hits([1, 2, 3]) == 0
    assert cache.hits([1, 2, 4, 3]) == 2
    assert cache.hits([3, 1]) == 2
    assert cache.hits([9, 1]) == 0


def test_a_prompt_does_not_hit_its_own_blocks() -> None:
    assert PrefixCache().hits([5, 5, 5]) == 0


def test_the_least_recently_used_block_goes_first_and_prefixes_stay() -> None:
    cache = PrefixCache(3)
    cache.hits([1, 2, 3])
    assert cache.hits([4]) == 0  # the end of the first prompt, block 3, makes room
    assert cache.hits([1, 2, 3]) == 2


def test_the_last_block_is_partial() -> None:
    assert cached_tokens(2, 512, 1000) == 1000
    assert cached_tokens(1, 512, 1000) == 512
    assert cached_tokens(0, 512, 1000) == 0


def slow_hits(prompts: list[list[int]], capacity: int | None) -> list[int]:
    """A list as the cache, oldest first."""
    held: list[int] = []
    found = []
    for prompt in prompts:
        count = 0
        for block in prompt:
            if block not in held:
                break
            count += 1
        found.append(count)
        for block in prompt[::-1]:
            if block in held:
                held.remove(block)
            held.append(block)
        if capacity is not None:
            held = held[max(0, len(held) - capacity) :]
    return found


@given(st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=30), st.one_of(st.none(), st.integers(1, 10)))
def test_hits_are_those_of_a_list(prompts: list[list[int]], capacity: int | None) -> None:
    cache = PrefixCache(capacity)
    assert [cache.hits(prompt) for prompt in prompts] == slow_hits(prompts, capacity)


@given(st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=30), st.integers(1, 10))
def test_more_room_never_hits_less(prompts: list[list[int]], capacity: int) -> None:
    small, large = PrefixCache(capacity), PrefixCache(capacity + 1)
    assert all(small.hits(prompt) <= large.hits(prompt) for prompt in prompts)
