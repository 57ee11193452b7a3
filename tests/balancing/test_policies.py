"""What each policy promises, over random weights, loads and keys; the naive models are `plain`."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from math import gcd
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.balancing import (
    Instance,
    Policy,
    consistent_hash,
    ip_hash,
    least_connections,
    random_choice,
    rendezvous_hash,
    round_robin,
    two_choices,
    weighted_round_robin,
)
from course_lib.balancing.plain import (
    plain_least_connections,
    plain_weighted_round_robin,
    smooth_pick,
)
from course_lib.balancing.policy import once_per_set
from course_lib.errors import NoInstances

kept_sorted = partial(least_connections, scan_up_to=0)  # what only larger sets would be
ALL: list[Callable[[], Policy]] = [
    round_robin,
    weighted_round_robin,
    least_connections,
    kept_sorted,
    ip_hash,
    lambda: random_choice(random.Random(1)),
    lambda: two_choices(random.Random(1)),
    consistent_hash,
    rendezvous_hash,
]
weight_vectors = st.lists(st.integers(1, 12), min_size=1, max_size=12)


def some(*weights: int) -> tuple[Instance, ...]:
    """Instances a, b, c ... of these weights, and i26, i27 ... after z."""
    names = [chr(97 + n) if n < 26 else f"i{n}" for n in range(len(weights))]
    return tuple(
        Instance(name, f"10.0.0.{n}:80", weight)
        for n, (name, weight) in enumerate(zip(names, weights, strict=True))
    )


def picks(policy: Policy, instances: Sequence[Instance], count: int) -> str:
    return " ".join(policy(instances).id for _ in range(count))


def test_round_robin_goes_in_turn_and_goes_on_when_the_set_changes() -> None:
    policy = round_robin()
    assert picks(policy, some(1, 1, 1), 5) == "a b c a b"
    assert picks(policy, some(1, 1, 1, 1), 3) == "b c d"


def test_smooth_weighted_round_robin_spreads_the_heavy_one() -> None:
    assert picks(weighted_round_robin(), some(5, 1, 1), 14) == "a a b a c a a a a b a c a a"


def test_what_everybody_has_earned_after_each_pick_of_the_plain_one() -> None:
    instances, current = some(5, 1, 1), dict[Instance, int]()
    earned = []
    for _ in range(7):
        smooth_pick(instances, current)
        earned.append([current[instance] for instance in instances])
    assert earned == [
        [-2, 1, 1], [-4, 2, 2], [1, -4, 3], [-1, -3, 4], [4, -2, -2], [2, -1, -1], [0, 0, 0],
    ]  # fmt: skip


@given(weight_vectors)
def test_weighted_round_robin_equals_the_plain_scan(weights: list[int]) -> None:
    instances, cycle = some(*weights), sum(weights)
    fast, plain = weighted_round_robin(), plain_weighted_round_robin()
    assert picks(fast, instances, 2 * cycle + 3) == picks(plain, instances, 2 * cycle + 3)


@given(weight_vectors, st.integers(1, 5))
def test_a_cycle_gives_each_its_weight(weights: list[int], factor: int) -> None:
    instances = some(*(weight * factor for weight in weights))
    cycle = sum(weights) // gcd(*weights)
    policy = weighted_round_robin()
    for _ in range(2):
        count = Counter(policy(instances) for _ in range(cycle))
        assert [count[each] * gcd(*weights) for each in instances] == weights


def test_weighted_round_robin_reads_a_weight_again_with_a_new_set() -> None:
    policy, instances = weighted_round_robin(), some(1, 1)
    assert picks(policy, instances, 4) == "a b a b"
    instances[0].weight = 3
    assert picks(policy, (*instances[:1], *instances[1:]), 8) == "a a b a a a b a"


def test_the_same_members_in_another_sequence_do_not_start_the_cycle_again() -> None:
    policy, (a, b, c) = weighted_round_robin(), some(1, 1, 1)
    assert [policy([a, b, c]).id for _ in range(4)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("make", [weighted_round_robin, least_connections, kept_sorted])
def test_two_sets_that_take_turns_starve_nobody(make: Callable[[], Policy]) -> None:
    policy, (a, b, c) = make(), some(1, 1, 1)
    order = [(policy((a, b, c)).id, policy((a, b)).id) for _ in range(6)]
    assert order == [("a", "a"), ("b", "b"), ("c", "a"), ("a", "b"), ("b", "a"), ("c", "b")]


def test_a_set_that_takes_turns_with_another_is_prepared_once() -> None:
    prepared: list[int] = []
    prepare = once_per_set(lambda instances: prepared.append(len(instances)))
    a, b, c = some(1, 1, 1)
    for members in ((a, b, c), (a, b), (a, b, c), (a, b), (a,), (a, b), (a, b, c)):
        prepare(members)
    assert prepared == [3, 2, 1, 3]


@pytest.mark.parametrize("make", [least_connections, kept_sorted])
def test_ties_of_least_connections_go_in_turn_among_the_tied_only(
    make: Callable[[], Policy],
) -> None:
    policy, instances, order = make(), some(1, 1, 1), ""
    for _ in range(6):
        picked = policy(instances)
        picked.in_flight += 1
        order += picked.id
    assert order == "abccba"


@pytest.mark.parametrize("make", [least_connections, kept_sorted])
def test_least_connections_compares_the_load_for_the_weight(make: Callable[[], Policy]) -> None:
    a, b = instances = some(3, 1)
    a.in_flight, b.in_flight = 2, 1
    assert make()(instances) is a
    a.in_flight = 4
    assert make()(instances) is b


changes = st.lists(
    st.one_of(
        st.just("pick"),
        st.just("pick and hold"),
        st.tuples(st.integers(0, 11), st.integers(0, 5)),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(weight_vectors, changes)
def test_least_connections_equals_the_plain_scan(
    weights: list[int], history: list[str | tuple[int, int]]
) -> None:
    """Held requests come back in any order, and anybody may assign `in_flight`."""
    ours, theirs = some(*weights), some(*weights)
    fast, plain = kept_sorted(), plain_least_connections()
    for step in history:
        if isinstance(step, tuple):
            place, in_flight = step[0] % len(weights), step[1]
            ours[place].in_flight = theirs[place].in_flight = in_flight
            continue
        one, other = fast(ours), plain(theirs)
        assert one.id == other.id
        if step == "pick and hold":
            one.in_flight += 1
            other.in_flight += 1


def test_least_connections_equals_the_plain_scan_among_hundreds_for_long() -> None:
    rng = random.Random(4)
    weights = [rng.choice((1, 1, 2, 3, 5)) for _ in range(200)]
    ours, theirs = some(*weights), some(*weights)
    fast, plain = least_connections(), plain_least_connections()
    held: list[int] = []
    for _ in range(3000):
        picked = fast(ours)
        assert picked.id == plain(theirs).id
        held.append(ours.index(picked))
        picked.in_flight += 1
        theirs[held[-1]].in_flight += 1
        while held and (rng.random() < 0.3 or len(held) > 350):
            done = held.pop(rng.randrange(len(held)))
            ours[done].in_flight -= 1
            theirs[done].in_flight -= 1


def test_what_least_connections_remembers_does_not_grow() -> None:
    policy, (a, b, c) = kept_sorted(), some(1, 1, 1)
    c.in_flight = 1
    tracemalloc.start()
    for step in range(20_000):
        a.in_flight = 1 - step % 2
        policy((a, b, c))
        if step == 1000:
            before, _ = tracemalloc.get_traced_memory()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 10_000


def test_instances_forget_a_policy_that_is_gone() -> None:
    instances = some(1, 1)
    for _ in range(5):
        kept_sorted()(instances)
    assert all(not each._watchers for each in instances)


def test_two_choices_picks_the_less_busy_of_two_different_ones() -> None:
    a, b = instances = some(1, 1)
    a.in_flight = 1
    assert set(picks(two_choices(random.Random(1)), instances, 50).split()) == {"b"}
    b.in_flight = 2
    assert set(picks(two_choices(random.Random(1)), instances, 50).split()) == {"a"}


def test_two_choices_compares_the_load_for_the_weight() -> None:
    a, b = instances = some(4, 1)
    a.in_flight, b.in_flight = 3, 1
    assert set(picks(two_choices(random.Random(1)), instances, 50).split()) == {"a"}


@pytest.mark.parametrize("make", [random_choice, two_choices])
def test_lots_are_drawn_by_weight(make: Callable[[random.Random], Policy]) -> None:
    count = Counter(picks(make(random.Random(2)), some(6, 3, 1), 10_000).split())
    assert [round(count[name] / 1000) for name in "abc"] == [6, 3, 1]


def test_a_client_network_stays_with_one_instance() -> None:
    policy, instances = ip_hash(), some(1, 1, 1)
    assert len({policy(instances, f"10.1.2.{host}") for host in range(256)}) == 1
    assert len({policy(instances, f"10.1.{net}.1") for net in range(256)}) == 3


def test_a_client_without_an_address_counts_as_all_zeros() -> None:
    instances = some(1, 2, 3)
    assert ip_hash()(instances, None) is ip_hash()(instances, "0.0.0.0")


def test_a_key_goes_to_the_next_point_and_from_the_last_to_the_first() -> None:
    instances = some(1, 2, 3)
    ring: list[tuple[int, Instance]] = []
    for instance in instances:
        host, port = instance.address.split(":")
        point = 0
        for _ in range(160 * instance.weight):
            point = crc32(f"{host}\0{port}".encode() + point.to_bytes(4, "little"))
            ring.append((point, instance))
    ring.sort(key=lambda entry: entry[0])
    policy, last = consistent_hash(), ring[-1][0]
    for key in (f"user-{n}" for n in range(1000)):
        following = [owner for point, owner in ring if point >= crc32(key.encode())]
        assert policy(instances, key) is following[0]
    beyond = next(key for n in count() if crc32((key := f"user-{n}").encode()) > last)
    assert policy(instances, beyond) is ring[0][1] is not ring[-1][1]


@pytest.mark.parametrize("make", [consistent_hash, rendezvous_hash])
@given(weights=st.lists(st.integers(1, 4), min_size=2, max_size=10), gone=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_only_the_keys_of_the_instance_that_left_move(
    make: Callable[[], Policy], weights: list[int], gone: int
) -> None:
    instances, policy = some(*weights), make()
    left = instances[gone % len(instances)]
    keys = [f"user-{n}" for n in range(200)]
    before = {key: policy(instances, key) for key in keys}
    rest = tuple(each for each in instances if each is not left)
    assert all(policy(rest, key) is before[key] for key in keys if before[key] is not left)


@pytest.mark.parametrize("make", [consistent_hash, rendezvous_hash])
def test_keys_are_spread_by_weight(make: Callable[[], Policy]) -> None:
    policy, instances = make(), some(4, 2, 1, 1)
    count = Counter(policy(instances, f"user-{n}").id for n in range(8000))
    for instance in instances:
        assert 700 * instance.weight < count[instance.id] < 1300 * instance.weight


@pytest.mark.parametrize("make", ALL)
@given(weights=weight_vectors, keys=st.lists(st.none() | st.text(max_size=8), max_size=20))
@settings(max_examples=25, deadline=None)
def test_every_policy_picks_a_member_whatever_the_key(
    make: Callable[[], Policy], weights: list[int], keys: list[str | None]
) -> None:
    policy, instances = make(), some(*weights)
    assert all(policy(instances, key) in instances for key in keys)


@pytest.mark.parametrize("make", ALL)
def test_half_a_surrogate_pair_is_a_key_like_any_other(make: Callable[[], Policy]) -> None:
    instances = some(1, 2, 3)
    assert make()(instances, "user-\ud800") in instances


@pytest.mark.parametrize("make", ALL)
def test_an_empty_set_is_no_instances(make: Callable[[], Policy]) -> None:
    with pytest.raises(NoInstances):
        make()((), "10.0.0.1")
