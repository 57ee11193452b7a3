"""Graders of the exercises to lesson 3.2, load balancing."""

import asyncio
import builtins
import contextlib
from collections import Counter

import pytest

from course_lib.balancing import Instance
from course_lib.errors import NoInstances, NotFound, Unavailable
from course_lib.grading.checks import ensure, expect, raises, show

# smooth


@pytest.mark.task("smooth")
def test_spreads_the_heavy_one(answer):
    """With the weights 4 and 1 the light one has its turn in the middle."""
    expect(
        answer.smooth({"a": 4, "b": 1}, 5),
        ["a", "a", "b", "a", "a"],
        "smooth({'a': 4, 'b': 1}, 5)",
        "The accounts after each pick are [-1, 1] [-2, 2] [2, -2] [1, -1] [0, 0].",
    )


@pytest.mark.task("smooth")
def test_a_tie_goes_to_the_first(answer):
    """Equal weights take turns, in the order of the dictionary."""
    expect(
        answer.smooth({"b": 1, "a": 1, "c": 1}, 3),
        ["b", "a", "c"],
        "smooth({'b': 1, 'a': 1, 'c': 1}, 3)",
        "Among equally rich ones the first in the dictionary is picked.",
    )


@pytest.mark.task("smooth")
def test_the_shares_are_the_weights(answer):
    """In one cycle everybody is picked as often as they weigh."""
    weights = {"a": 13, "b": 7, "c": 5, "d": 3, "e": 2}
    got = dict(Counter(answer.smooth(dict(weights), 30)))
    expect(got, weights, "how often each of 13, 7, 5, 3, 2 was picked in 30 picks")


@pytest.mark.task("smooth")
def test_goes_on_after_a_cycle(answer):
    """Ten picks are ten picks, though a cycle has five."""
    got = dict(Counter(answer.smooth({"a": 4, "b": 1}, 10)))
    why = "After a cycle all accounts are back at 0, and it begins anew."
    expect(got, {"a": 8, "b": 2}, "how often each was picked, smooth({'a': 4, 'b': 1}, 10)", why)


@pytest.mark.task("smooth")
def test_leaves_the_weights_alone(answer):
    """The weights are the caller's, and stay as they are."""
    weights = {"a": 4, "b": 1}
    answer.smooth(weights, 3)
    why = "Keep the accounts in a dictionary of your own."
    expect(weights, {"a": 4, "b": 1}, "the weights after smooth(weights, 3)", why)


@pytest.mark.task("smooth")
def test_every_call_begins_anew(answer):
    """A second call begins with empty accounts, as the first did."""
    got = [answer.smooth({"x": 4, "y": 1}, 2) for _ in range(2)]
    why = "The accounts belong to one call: make them inside the function."
    expect(got, [["x", "x"]] * 2, "smooth({'x': 4, 'y': 1}, 2), twice", why)


# fewest


def three(**in_flight):
    instances = tuple(Instance(name, f"10.0.0.{n}:80") for n, name in enumerate("abc", 1))
    for instance in instances:
        instance.in_flight = in_flight.get(instance.id, 0)
    return instances


@pytest.mark.task("fewest")
def test_weighs_the_requests_in_flight(answer):
    """3 in flight at weight 2 is less busy than 2 at weight 1."""
    small, large = Instance("small", "10.0.0.1:80", 1), Instance("large", "10.0.0.2:80", 2)
    small.in_flight, large.in_flight = 2, 3
    expect(
        answer.fewest()((small, large)).id,
        "large",
        "policy((small, large)), with 2 in flight at weight 1, and 3 at weight 2",
        "Compare in_flight / weight: 2 / 1 is more than 3 / 2.",
    )
    small.in_flight, large.in_flight = 2, 5
    expect(
        answer.fewest()((large, small)).id,
        "small",
        "policy((large, small)), with 5 in flight at weight 2, and 2 at weight 1",
        "5 / 2 is 2.5, and more than 2 / 1: compare the quotients as they are, with nothing added "
        "and nothing rounded.",
    )


@pytest.mark.task("fewest")
def test_the_least_busy_is_picked(answer):
    """Who has fewest in flight is picked, also twice running."""
    policy, instances = answer.fewest(), three(a=2, b=1, c=2)
    got = [policy(instances).id for _ in range(2)]
    expect(got, ["b", "b"], "two picks with 2, 1, 2 in flight", "A turn settles ties only.")


@pytest.mark.task("fewest")
def test_the_idle_have_their_turn(answer):
    """The one that was picked longest ago has its turn, whoever comes and goes."""
    policy, instances = answer.fewest(), three()
    got = [policy(instances).id]
    instances[1].in_flight = 1
    got.append(policy(instances).id)
    instances[1].in_flight = 0
    got += [policy(instances).id for _ in range(4)]
    expect(
        got,
        ["a", "c", "b", "a", "c", "b"],
        "six picks, and b has one request in flight at the second",
        "At the third pick all are idle, and b has never been picked. Remember for each instance "
        "when it was picked last.",
    )
    policy, (a, b, c) = answer.fewest(), three()
    d = Instance("d", "10.0.0.4:80")
    sets = [(a, b, c), (b, c), (b, c, d), (b, c, d), (b, c, d)]
    expect(
        [policy(each).id for each in sets],
        ["a", "b", "c", "d", "b"],
        "five picks; a leaves before the second, d comes before the third",
        "Choose among those you are given now; what you remember belongs to an instance's id.",
    )
    policy, (a, b, c) = answer.fewest(), three()
    sets = [(a, b, c), (a, b, c), (a, c), (a, b, c)]
    expect(
        [policy(each).id for each in sets],
        ["a", "b", "c", "a"],
        "four picks; b is not there at the third, and back at the fourth",
        "Who comes back is no newcomer: b was picked after a, so it is the turn of a. Forget "
        "nobody who is away.",
    )


@pytest.mark.task("fewest")
def test_says_that_there_is_none(answer):
    """Without instances it raises NoInstances."""
    with raises(NoInstances, call="policy(())", why="`min` of nothing is another error."):
        answer.fewest()(())


@pytest.mark.task("fewest")
def test_only_reads(answer):
    """It leaves in_flight to others."""
    policy, instances = answer.fewest(), three(b=1)
    policy(instances)
    got = [instance.in_flight for instance in instances]
    expect(got, [0, 1, 0], "in_flight of a, b, c after a pick", "The balancer counts, not you.")


# home

NAMES = ["a", "b", "c", "d"]
CUSTOMERS = [f"customer-{n}" for n in range(400)]


def homes(answer, names):
    return {customer: answer.home(customer, list(names)) for customer in CUSTOMERS}


@pytest.mark.task("home")
def test_a_home_is_one_of_the_names(answer):
    """A customer lives at one of the names."""
    got = answer.home("ada", list(NAMES))
    ensure(
        any(got == name for name in NAMES),
        "Return the name that wins.",
        call="home('ada', ['a', 'b', 'c', 'd'])",
        got=show(got),
        expected="one of the four names",
    )


@pytest.mark.task("home")
def test_the_order_of_the_names_does_not_matter(answer):
    """Discovery may list the instances in another order tomorrow."""
    one, other = homes(answer, NAMES), homes(answer, NAMES[::-1])
    moved = sum(one[customer] != other[customer] for customer in CUSTOMERS)
    why = "The score of a name must not depend on its place."
    expect(moved, 0, "how many of 400 customers move when the names come in reverse order", why)


@pytest.mark.task("home")
def test_another_process_agrees(answer):
    """Two gateways send the same customer to the same home."""
    before, usual = homes(answer, NAMES), builtins.hash
    builtins.hash = lambda value: usual(("another process", value))
    try:
        after = homes(answer, NAMES)
    finally:
        builtins.hash = usual
    moved = sum(before[customer] != after[customer] for customer in CUSTOMERS)
    why = "Python's hash() of text is another one in each process. Take blake2b."
    expect(moved, 0, "how many of 400 customers move when another process asks", why)


@pytest.mark.task("home")
def test_only_those_move_who_have_to(answer):
    """When b leaves, only its customers move; when e joins, customers move only to e."""
    before = homes(answer, NAMES)
    without_b, with_e = homes(answer, ["a", "c", "d"]), homes(answer, [*NAMES, "e"])
    needless = sum(before[c] != without_b[c] for c in CUSTOMERS if before[c] != "b")
    needless += sum(before[c] != with_e[c] for c in CUSTOMERS if with_e[c] != "e")
    why = "Each name's score must stay what it was, whoever else is there."
    expect(needless, 0, "how many customers move without need, of 400 twice", why)


@pytest.mark.task("home")
def test_everybody_has_about_as_many(answer):
    """400 customers are spread over four names, 60 to 140 at each."""
    count = Counter(homes(answer, NAMES).values())
    got = {name: count[name] for name in NAMES}
    ensure(
        all(60 <= number <= 140 for number in got.values()),
        "For each customer it must look like chance which name wins. Hash customer and name "
        "together, with blake2b.",
        call="how many of 400 customers live at each name",
        got=repr(got),
        expected="60 to 140 each",
    )


@pytest.mark.task("home")
def test_leaves_the_names_alone(answer):
    """The list of names is the caller's, and stays as it is."""
    names = ["c", "a", "d", "b"]
    answer.home("ada", names)
    why = "`sort` changes the list itself; `max` and `sorted` only look at it."
    expect(names, ["c", "a", "d", "b"], "the names after home('ada', ['c', 'a', 'd', 'b'])", why)


# wary


def staffed(**endpoints):
    return [
        Instance(name, f"10.0.0.{n}:80", endpoint=endpoint)
        for n, (name, endpoint) in enumerate(endpoints.items(), 1)
    ]


async def answers(request):
    await asyncio.sleep(1)
    return f"hello {request}"


async def breaks(request):
    raise Unavailable("no database")


async def finds_nobody(request):
    raise NotFound("no user 7")


async def has_a_bug(request):
    raise ZeroDivisionError("division by zero")


@pytest.mark.task("wary")
async def test_sends_it_to_the_least_busy(answer):
    """The one with the fewest in flight is asked, and its answer comes back."""
    instances = staffed(a=breaks, b=answers)
    instances[0].in_flight = 3
    got = await answer.wary(instances, 10)("Ada")
    expect(got, "hello Ada", "await wary(instances, 10)('Ada'), a has 3 in flight and b none")


@pytest.mark.task("wary")
async def test_ties_go_to_the_first(answer):
    """Among tied ones the first in the list is asked."""

    def says(name):
        async def endpoint(request):
            return name

        return endpoint

    endpoint = answer.wary(staffed(a=says("a"), b=says("b"), c=says("c")), 10)
    got = "".join([await endpoint("Ada") for _ in range(8)])
    expect(got, "a" * 8, "who answers eight requests, one after the other, of idle a, b, c")


@pytest.mark.task("wary")
async def test_counts_what_is_under_way(answer):
    """A request counts while it is under way, and no longer."""
    (a,) = instances = staffed(a=answers)
    call = asyncio.ensure_future(answer.wary(instances, 10)("Ada"))
    await asyncio.sleep(0.5)
    under_way = a.in_flight
    await call
    got = [under_way, a.in_flight]
    expect(got, [1, 0], "in_flight during a request that succeeds, and after it")


@pytest.mark.task("wary")
async def test_a_failure_goes_on_counting(answer):
    """Each request that failed counts for its penalty, and then no longer."""
    (a,) = instances = staffed(a=breaks)
    endpoint, calls, seen = answer.wary(instances, 10), [], []
    for seconds, fails in ((0, True), (3, True), (6, False), (2, False), (3, False)):
        await asyncio.sleep(seconds)
        if fails:
            calls.append(asyncio.ensure_future(endpoint("Ada")))
        else:
            seen.append(a.in_flight)
    await asyncio.wait(calls)
    for call in calls:
        call.exception()
    expect(
        seen,
        [2, 1, 0],
        "in_flight at 9, 11 and 14 s; requests fail at 0 and 3 s, penalty_seconds=10",
        "Each failure lowers in_flight by one, when its own penalty is over, not when the request "
        "is.",
    )


@pytest.mark.task("wary")
async def test_a_bug_is_a_failure_too(answer):
    """An error that nobody has foreseen counts as a failure."""
    (a,) = instances = staffed(a=has_a_bug)
    call = asyncio.ensure_future(answer.wary(instances, 10)("Ada"))
    await asyncio.sleep(9)
    during = a.in_flight
    with contextlib.suppress(ZeroDivisionError):
        await call
    why = "Every `Exception` is a failure, unless it is an `Answer`."
    expect(during, 1, "in_flight 9 s after a ZeroDivisionError, penalty_seconds=10", why)


@pytest.mark.task("wary")
async def test_the_caller_does_not_wait(answer):
    """The caller has the error at once."""
    clock = asyncio.get_running_loop().time
    began, call = clock(), "await endpoint('Ada'), and the instance raises Unavailable"
    with raises(Unavailable, call=call, why="Raise the error again; do not return it."):
        await answer.wary(staffed(a=breaks), 10)("Ada")
    why = "The penalty is for the instance. `call_later` does not wait, `sleep` does."
    expect(clock() - began, 0.0, "seconds until the caller has the error", why, within=0.1)


@pytest.mark.task("wary")
async def test_an_answer_is_no_failure(answer):
    """NotFound is an answer: nobody is punished for it."""
    (a,) = instances = staffed(a=finds_nobody)
    with raises(NotFound, call="await endpoint(7)", names="no user 7", why="Raise it again."):
        await answer.wary(instances, 10)(7)
    why = "A service that says no has done its work. Look for `Answer` first."
    expect(a.in_flight, 0, "in_flight after NotFound", why)


@pytest.mark.task("wary")
async def test_a_cancelled_request_counts_no_longer(answer):
    """When the caller gives up, the request counts no longer."""
    (a,) = instances = staffed(a=answers)
    call = asyncio.ensure_future(answer.wary(instances, 10)("Ada"))
    await asyncio.sleep(0.5)
    if not call.cancel():
        await call  # it is over already, and should not be
    await asyncio.wait([call])
    why = "CancelledError is no Exception; what must always happen belongs in `finally`."
    expect(a.in_flight, 0, "in_flight after a request was cancelled", why)
