"""Graders of the exercises to lesson 3.1, registration and discovery."""

import asyncio
import contextlib

import httpx
import pytest

from course_lib.balancing import Instance, round_robin
from course_lib.discovery import Event
from course_lib.discovery.consul_http import consul_client
from course_lib.errors import CallError, DeadlineExceeded, NotFound, Unavailable
from course_lib.grading.checks import ensure, expect, no_error, raises
from course_lib.stand_ins import ConsulAgent


def now():
    return round(asyncio.get_running_loop().time(), 3)


# watch


class Registry:
    """Answers as Consul does, and keeps the questions."""

    def __init__(self, names=("a",), index=7, held_seconds=1000):
        self.names, self.index, self.questions = tuple(names), index, []
        self._held_seconds = held_seconds
        self._changed = asyncio.Event()

    def put(self, *names, index=None):
        self.names, self.index = names, index or self.index + 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def ask(self, index):
        self.questions.append(index)
        if index == self.index:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._held_seconds):
                    await self._changed.wait()
        await asyncio.sleep(0.001)
        return self.names, self.index


@contextlib.asynccontextmanager
async def watching(answer, ask):
    told = []
    task = asyncio.create_task(answer.watch(ask, lambda names: told.append((now(), names))))
    try:
        yield told
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def names_of(told):
    return ["".join(names) for _, names in told]


@pytest.mark.task("watch")
async def test_tells_at_once_who_is_there(answer):
    """The first answer is told at once, also when nobody is there."""
    async with watching(answer, Registry("ab").ask) as told:
        await asyncio.sleep(0.5)
    expect(names_of(told), ["ab"], "what was told of a registry that knows a and b")
    async with watching(answer, Registry("").ask) as told:
        await asyncio.sleep(0.5)
    expect(
        [names for _, names in told],
        [()],
        "what was told of a registry that knows nobody",
        "An empty first answer is news too: nothing has been told before it.",
    )


@pytest.mark.task("watch")
async def test_tells_every_change_without_delay(answer):
    """A change is told the moment it happens, and so is the one after it."""
    registry = Registry()
    async with watching(answer, registry.ask) as told:
        for seconds, names in ((5, "ab"), (0.2, "abc"), (0.2, "abcd")):
            await asyncio.sleep(seconds)
            registry.put(*names)
        await asyncio.sleep(5)
    expect(
        [(round(at, 1), "".join(names)) for at, names in told],
        [(0.0, "a"), (5.0, "ab"), (5.2, "abc"), (5.4, "abcd")],
        "what was told, and when: b comes after 5 s, c and d 0.2 s later each",
        "When there was news, ask again at once, however soon it came; wait only when a question "
        "brought none.",
    )
    registry, began = Registry(), now()
    async with watching(answer, registry.ask) as told:
        for seconds, names in ((5, "a"), (0.2, "ab")):
            await asyncio.sleep(seconds)
            registry.put(*names)
        await asyncio.sleep(5)
    heard = [round(at - began, 1) for at, names in told if "".join(names) == "ab"]
    ensure(
        heard == [5.2],
        "The question was held for 5 s, so nothing spins: sleep only when it came back in less "
        "than a second, by the clock of the running loop, `asyncio.get_running_loop().time()`.",
        call="a new index with the same names after 5 s, b comes 0.2 s later",
        got=f"told of b after {', '.join(map(str, heard)) or '-'} s",
        expected="after 5.2 s",
    )


@pytest.mark.task("watch")
async def test_tells_only_news(answer):
    """A new index with the same instances is not told."""
    registry = Registry()
    async with watching(answer, registry.ask) as told:
        await asyncio.sleep(5)
        registry.put("a")
        await asyncio.sleep(5)
    expect(
        names_of(told),
        ["a"],
        "the index goes from 7 to 8, and the set stays the same",
        "That a question returns does not promise a change. Compare with what you told last.",
    )
    registry = Registry()

    async def ask(index):
        if index == 7:
            await asyncio.sleep(5)
            raise Unavailable("nobody there")
        return await registry.ask(index)

    async with watching(answer, ask) as told:
        await asyncio.sleep(8)
    expect(
        names_of(told),
        ["a"],
        "a is there, a question fails after 5 s, and a is there still",
        "A question that failed takes back nothing: go on remembering what you told last.",
    )


@pytest.mark.task("watch")
async def test_asks_with_the_index_it_was_given(answer):
    """The first question has index 0, the next one the index of the answer before."""
    registry = Registry()
    async with watching(answer, registry.ask):
        await asyncio.sleep(5)
        registry.put("a", "b", index=12)
        await asyncio.sleep(5)
    expect(registry.questions, [0, 7, 12], "the questions, when the answers have index 7 and 12")
    registry = Registry(held_seconds=5)
    async with watching(answer, registry.ask):
        await asyncio.sleep(8)
    expect(
        registry.questions,
        [0, 7, 7],
        "the questions, when a held one comes back after 5 s with the index it was asked with",
        "Nothing has changed, and 7 is still the newest. Only a smaller index means: ask with 0.",
    )


@pytest.mark.task("watch")
async def test_an_index_that_goes_backwards_starts_anew(answer):
    """When the index goes backwards, the next question has index 0."""
    registry = Registry(index=50)
    async with watching(answer, registry.ask):
        await asyncio.sleep(5)
        registry.put("a", "b", index=3)
        await asyncio.sleep(5)
    expect(
        registry.questions[:3],
        [0, 50, 0],
        "the questions, when the answers have index 50 and then 3",
        "The registry was started anew and counts from the beginning. Ask with 0, as if for the "
        "first time.",
    )


@pytest.mark.task("watch")
async def test_does_not_spin(answer):
    """A registry that answers at once, and has no news, is asked about once a second."""
    for step, says in ((0, "the same index"), (1, "a new index, and the same names")):
        asked = []

        async def ask(index, asked=asked, step=step):
            asked.append(index)
            await asyncio.sleep(0.001)
            return ("a",), 7 + step * len(asked)

        async with watching(answer, ask):
            await asyncio.sleep(10)
        call = f"a registry that always answers at once, for 10 s, with {says}"
        ensure(
            len(asked) >= 8,
            "A watch never ends: after a second's sleep it asks again.",
            call=call,
            got=f"{len(asked)} questions",
            expected="about 10 questions",
        )
        ensure(
            len(asked) <= 13,
            "A question that comes back at once without news is one too many: sleep for a second "
            "before the next. Otherwise this loop takes a whole core, here and in the registry.",
            call=call,
            got=f"{len(asked):,} questions",
            expected="about 10 questions",
        )


@pytest.mark.task("watch")
async def test_goes_on_when_the_registry_fails(answer):
    """While the registry cannot be asked it is tried about once a second, then all goes on."""
    asked = []

    async def ask(index):
        asked.append((now(), index))
        await asyncio.sleep(0.001)
        if now() < 8:
            raise Unavailable("nobody there")
        if index == 7:
            await asyncio.sleep(1000)
        return ("a",), 7

    why = "Catch Unavailable, sleep for a second, and ask with index 0."
    call = "a registry that cannot be asked for 8 s"
    async with watching(answer, ask) as told:
        await asyncio.sleep(20)
    expect(names_of(told), ["a"], call, why)
    ensure(len(asked) <= 12, why, call=call, got=f"{len(asked)} questions", expected="about 10")
    began, asked = now(), []

    async def fail_late(index):
        asked.append(round(now() - began, 1))
        await asyncio.sleep(3)
        raise Unavailable("nobody there")

    async with watching(answer, fail_late):
        await asyncio.sleep(10)
    expect(
        asked,
        [0.0, 4.0, 8.0],
        "when it is asked, in seconds, and each question fails after 3 s",
        "Sleep for a second after every question that failed, however long it took.",
    )


@pytest.mark.task("watch")
async def test_after_a_failure_it_asks_for_everything(answer):
    """After a question that failed, the next has index 0."""
    registry, questions = Registry(), []

    async def ask(index):
        questions.append(index)
        if len(questions) == 2:
            await asyncio.sleep(5)
            raise Unavailable("nobody there")
        return await registry.ask(index)

    async with watching(answer, ask):
        await asyncio.sleep(10)
    expect(
        questions[:3],
        [0, 7, 0],
        "the questions, when the first is answered with index 7 and the second fails",
        "Who knows what has happened meanwhile: ask with 0, which is answered at once.",
    )


# entry


class Hosts:
    """An agent in memory, and hosts whose health it is told; all in virtual time."""

    def __init__(self, answer):
        self.answer, self.sick = answer, False
        self.asked, self.coming = [], []
        agent = ConsulAgent(fetch=self.probe)
        self.consul = consul_client("agent", transport=httpx.ASGITransport(app=agent.app))

    async def probe(self, check):
        self.asked.append((now(), check.http))
        sick = self.coming.pop(0) if self.coming else self.sick
        return ("critical" if sick else "passing"), ""

    async def checks(self, *sick):
        """Wait until so many more checks have found them sick, or well, in this order."""
        self.coming = list(sick)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(100):
                while self.coming:
                    await asyncio.sleep(0.1)

    async def start(self, service, host, port):
        body = self.answer.entry(service, host, port)
        result = await self.consul.put("agent/service/register", json=body)
        ensure(
            result.status_code == 200,
            "Consul does not take this entry, and says what it does not like.",
            call=f"Consul's answer to entry({service!r}, {host!r}, {port})",
            got=f"{result.status_code}: {result.text}",
            expected="200",
        )

    async def healthy(self, service="users"):
        found = (await self.consul.get(f"health/service/{service}?passing")).json()
        return sorted((e["Service"]["Address"], e["Service"]["Port"]) for e in found)

    async def entries(self):
        return len((await self.consul.get("agent/services")).json())


@pytest.mark.task("entry")
async def test_a_client_finds_the_address(answer):
    """A client that asks for healthy instances finds host and port."""
    hosts = Hosts(answer)
    await hosts.start("users", "10.0.0.1", 80)
    await asyncio.sleep(60)
    expect(
        await hosts.healthy(),
        [("10.0.0.1", 80)],
        "the healthy instances of users a minute after entry('users', '10.0.0.1', 80)",
        "Name, Address and Port say where it is; Check with HTTP and Interval lets Consul see "
        "that it is well.",
    )


@pytest.mark.task("entry")
async def test_it_is_asked_every_five_seconds(answer):
    """Consul asks http://10.0.0.1:80/ready every five seconds."""
    hosts = Hosts(answer)
    await hosts.start("users", "10.0.0.1", 80)
    await asyncio.sleep(60)
    call = "what Consul asks in the minute after entry('users', '10.0.0.1', 80)"
    urls = sorted({url for _, url in hosts.asked})
    expect(urls, ["http://10.0.0.1:80/ready"], call, "`HTTP`, in the Check, is the whole URL.")
    ensure(
        11 <= len(hosts.asked) <= 13,
        '`Interval`, in the Check, says how often: a text with its unit, such as `"5s"`.',
        call=call,
        got=f"{len(hosts.asked)} questions",
        expected="12 questions",
    )


@pytest.mark.task("entry")
async def test_instances_do_not_collide(answer):
    """Two hosts, and two ports of one host, are three entries."""
    hosts = Hosts(answer)
    for host, port in (("10.0.0.1", 80), ("10.0.0.1", 81), ("10.0.0.2", 80)):
        await hosts.start("users", host, port)
    expect(
        await hosts.entries(),
        3,
        "the entries after 10.0.0.1:80, 10.0.0.1:81 and 10.0.0.2:80 have registered",
        "An entry with the same ID replaces the one before. Put host and port into the ID.",
    )
    hosts = Hosts(answer)
    for host, port in (("10.0.0.1", 180), ("10.0.0.11", 80)):
        await hosts.start("users", host, port)
    expect(
        await hosts.entries(),
        2,
        "the entries after 10.0.0.1:180 and 10.0.0.11:80 have registered",
        "Put something between host and port: written together, both end in 10.0.0.1180.",
    )


@pytest.mark.task("entry")
async def test_services_do_not_collide(answer):
    """Two services at one address are two entries."""
    hosts = Hosts(answer)
    for service in ("users", "orders"):
        await hosts.start(service, "10.0.0.1", 80)
    expect(
        await hosts.entries(),
        2,
        "the entries after users and orders have registered with 10.0.0.1:80",
        "Behind one address there may be two services. Put the name of the service into the ID.",
    )


@pytest.mark.task("entry")
async def test_a_restart_does_not_multiply(answer):
    """An instance that starts again replaces its own entry."""
    hosts = Hosts(answer)
    for _ in range(5):
        await hosts.start("users", "10.0.0.1", 80)
        await asyncio.sleep(1)
    expect(
        await hosts.entries(),
        1,
        "the entries after 10.0.0.1:80 has registered five times",
        "An ID that is new at every start leaves an entry behind at every crash.",
    )


@pytest.mark.task("entry")
async def test_one_failed_check_is_forgiven(answer):
    """One failed check does not take an instance out; from the second in a row on it is out."""
    hosts = Hosts(answer)
    await hosts.start("users", "10.0.0.1", 80)
    await hosts.checks(False, True)
    expect(
        len(await hosts.healthy()),
        1,
        "the healthy instances after one failed check",
        "`FailuresBeforeCritical` says how many must fail in a row.",
    )
    await hosts.checks(False, True, True)
    expect(len(await hosts.healthy()), 0, "the healthy instances after two failed checks in a row")


@pytest.mark.task("entry")
async def test_what_stays_dead_is_removed(answer):
    """An entry that has been critical for a minute is removed when Consul looks next."""
    hosts = Hosts(answer)
    await hosts.start("users", "10.0.0.1", 80)
    await asyncio.sleep(20)
    hosts.sick = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(100):
            while await hosts.healthy():
                await asyncio.sleep(0.1)
    await asyncio.sleep(90)
    expect(
        await hosts.entries(),
        0,
        "the entries 90 s after it has become critical; Consul looks every 30 s",
        "A registration does not end by itself. `DeregisterCriticalServiceAfter`, in the Check, "
        "ends it, after one minute here.",
    )


# careful


class House:
    """Instances in memory that note when they were called."""

    def __init__(self, answer, names="abc", rest_seconds=5, policy=None):
        self.dead, self.error, self.fails_after_seconds, self.calls = set(), Unavailable, 0, []
        self.list_anew(names)
        choose = policy or round_robin()
        self.call = answer.careful(lambda: self.instances, choose, rest_seconds)

    def list_anew(self, names):
        """What discovery returns from now on: new objects, with these ids."""
        self.instances = tuple(Instance(n, f"{n}:80", endpoint=self._connect(n)) for n in names)
        return self.instances

    def _connect(self, name):
        async def endpoint(request):
            self.calls.append((now(), name))
            if name in self.dead:
                await asyncio.sleep(self.fails_after_seconds)
                raise self.error(f"{name} says no")
            return name

        return endpoint

    async def some(self, number):
        """So many calls, ten a second; what came of each."""
        seen = []
        if now() < 100:
            await asyncio.sleep(100)  # clocks of real loops have begun long ago
        for _ in range(number):
            try:
                seen.append(await self.call("hello"))
            except CallError as error:
                seen.append(type(error).__name__)
            await asyncio.sleep(0.1)
        return seen

    def count(self, name):
        return sum(called == name for _, called in self.calls)


@pytest.mark.task("careful")
async def test_the_policy_chooses_while_all_are_well(answer):
    """While all are well, the policy chooses among all of them."""
    house = House(answer)
    expect(await house.some(6), list("abcabc"), "six calls in turn", "Ask the policy, and answer.")


@pytest.mark.task("careful")
async def test_the_caller_sees_the_error(answer):
    """The call that fails fails for its caller too, and no other instance is asked."""
    house = House(answer, "ab")
    house.dead = {"a"}
    why = "Note the failure, and raise it again: a retry is another middleware's work."
    call = "a call; the policy chooses a, which is down, and b is well"
    await asyncio.sleep(100)
    with raises(Unavailable, call=call, why=why):
        await house.call("hello")
    expect([name for _, name in house.calls], ["a"], f"whom it asked: {call}", why)


@pytest.mark.task("careful")
async def test_discovery_is_asked_at_every_call(answer):
    """Each call chooses among those that discovery returns now."""
    house = House(answer, "ab")
    await house.some(2)
    house.list_anew("cd")
    expect(
        await house.some(2),
        list("cd"),
        "two calls; discovery returned a and b before, and now returns c and d",
        "Instances come and go. Ask `discover()` at every call.",
    )


@pytest.mark.task("careful")
async def test_who_failed_is_left_alone(answer):
    """An instance that failed gets no call for five seconds."""
    house = House(answer)
    house.dead = {"a"}
    await house.some(45)
    expect(
        house.count("a"),
        1,
        "the calls to a, which is down, in 4.5 s of calls in turn, rest_seconds=5",
        "Note until when it is left alone, and let the policy choose among the others.",
    )


@pytest.mark.task("careful")
async def test_the_id_tells_who_rests(answer):
    """Who is listed anew under the same id still rests."""
    house = House(answer)
    house.dead, listed = {"a"}, []
    for _ in range(45):
        listed.append(house.list_anew("abc"))  # kept, so that no address is used twice
        await house.some(1)
    expect(
        house.count("a"),
        1,
        "the calls to a, which is down, in 4.5 s; each time discovery returns new objects",
        "Discovery may make a new object for the same instance. Remember its `instance.id`.",
    )


@pytest.mark.task("careful")
async def test_a_second_failure_begins_a_second_rest(answer):
    """Who fails once more while all rest gets a whole rest from then on."""
    given = []

    def first(instances):
        given.append("".join(each.id for each in instances))
        return instances[0]

    house = House(answer, "ab", policy=first)
    house.dead = set("ab")
    for seconds in (0, 1, 2):
        await asyncio.sleep(seconds)
        await house.some(1)
    called = "".join(name for _, name in house.calls)
    await asyncio.sleep(2.2)
    await house.some(1)
    ensure(
        called != "aba" or given[-1] == "ab",
        "The rest of a counts from its last failure. The end of its first rest must not end the "
        "second.",
        call="what the policy is given: a fails, b fails 1 s later, both rest and a fails again "
        "2 s after that; then the next call, when the first 5 s of a are over",
        got=given[-1],
        expected="ab, as both rest",
    )


@pytest.mark.task("careful")
async def test_a_timeout_counts_from_its_end(answer):
    """A call that fails with DeadlineExceeded after 3 s is a failure; the rest begins then."""
    house = House(answer)
    house.dead, house.error, house.fails_after_seconds = {"a"}, DeadlineExceeded, 3
    await house.some(45)
    expect(
        house.count("a"),
        1,
        "the calls to a, in the 4.5 s after its first has failed with DeadlineExceeded",
        "DeadlineExceeded counts as Unavailable does. Look at the clock when the call has failed, "
        "not when it begins.",
    )


@pytest.mark.task("careful")
async def test_after_its_rest_it_is_tried_again(answer):
    """After five seconds it is tried again, and if it is well it stays."""
    house = House(answer)
    house.dead = {"a"}
    await house.some(45)
    house.dead = set()
    await house.some(30)
    ensure(
        house.count("a") > 5,
        "A rest must end: compare with the clock of the running loop.",
        call="a was down and is well again; 3 s of calls after its rest of 5 s",
        got=f"{house.count('a') - 1} calls to a",
        expected="its turn again",
    )


@pytest.mark.task("careful")
async def test_an_answer_is_no_failure(answer):
    """An instance that says NotFound is well and gets its turn."""
    house = House(answer)
    house.dead, house.error = {"a"}, NotFound
    await house.some(9)
    expect(
        house.count("a"),
        3,
        "the calls to a, which answers NotFound, of 9 in turn",
        "`no user 7` is an answer. Only Unavailable and DeadlineExceeded say something about the "
        "instance.",
    )


@pytest.mark.task("careful")
async def test_when_all_rest_all_are_tried(answer):
    """When every instance rests, they are called all the same."""
    house = House(answer)
    house.dead = set("abc")
    await house.some(3)
    house.dead = set()
    expect(
        set(await house.some(3)) <= set("abc"),
        True,
        "three calls when all three have failed a moment ago and are well again",
        "If nobody is left, choose among all: to try is better than to refuse.",
    )


# leave


async def leaving(answer, deregister, spread_seconds=1.0):
    """Leave, and note when each thing began; a minute is enough."""
    seen = []

    async def noted():
        seen.append((now(), "deregister"))
        await deregister()

    async def drain():
        seen.append((now(), "drain"))
        await asyncio.sleep(1)
        seen.append((now(), "drained"))

    task = asyncio.ensure_future(answer.leave(noted, drain, spread_seconds))
    done, _ = await asyncio.wait([task], timeout=60)
    if not done:
        task.cancel()
        await asyncio.wait([task])
        return [*seen, (60, "still waiting")]
    await task
    return seen


@pytest.mark.task("leave")
async def test_leaves_the_registry_first(answer):
    """It takes itself back first, waits until that has spread, then drains."""
    seen = await leaving(answer, lambda: asyncio.sleep(0.5))
    expect(
        seen,
        [(0, "deregister"), (1.5, "drain"), (2.5, "drained")],
        "leave(...), when the registry takes 0.5 s, spread_seconds=1.0, and draining takes 1 s",
        "Clients hear of it only when the registry has answered; serve on for spread_seconds.",
    )


@pytest.mark.task("leave")
async def test_a_registry_that_fails_does_not_keep_it(answer):
    """A registry that cannot be asked does not keep it from waiting, and then draining."""

    async def deregister():
        raise Unavailable("nobody there")

    call = "leave(...), when deregistering raises Unavailable, spread_seconds=1.0"
    why = "There is nobody to tell. The requests in flight have to finish all the same."
    with no_error(CallError, call=call, expected="it drains all the same", why=why):
        seen = await leaving(answer, deregister)
    expect([what for _, what in seen[1:]], ["drain", "drained"], call, why)
    expect(
        seen[1:],
        [(1, "drain"), (2, "drained")],
        call,
        "Serve on for spread_seconds here too: the registry may have heard you, and failed after "
        "that.",
    )


@pytest.mark.task("leave")
async def test_a_registry_that_hangs_costs_two_seconds(answer):
    """A registry that does not answer is waited for two seconds, no longer."""
    call = "leave(...), when deregistering never ends, spread_seconds=1.0"
    with no_error(
        TimeoutError,
        call=call,
        expected="it drains all the same",
        why="When the two seconds are over, `timeout` and `wait_for` raise TimeoutError, which is "
        "no CallError. Catch it as well, and go on.",
    ):
        seen = await leaving(answer, lambda: asyncio.sleep(1000))
    expect(
        [what for _, what in seen[1:]],
        ["drain", "drained"],
        call,
        "The platform kills who does not end in time. Use asyncio.timeout(2), and go on.",
    )
    expect(
        seen[1:],
        [(3, "drain"), (4, "drained")],
        call,
        "Two seconds for the registry, then spread_seconds of serving on, then the drain.",
    )


@pytest.mark.task("leave")
async def test_waits_as_long_as_it_was_told(answer):
    """The wait is the one it was given."""
    seen = await leaving(answer, lambda: asyncio.sleep(0), 4.0)
    expect(seen[1:], [(4, "drain"), (5, "drained")], "leave(...) with spread_seconds=4.0")


# doubtful

BOTH = Event((Instance("a", "a:80"), Instance("b", "b:80")))
ONE = Event((Instance("a", "a:80"),))
NOBODY = Event()
SILENT = Event(error=Unavailable("nobody there"))
WORDS = {BOTH: "a b", ONE: "a", NOBODY: "nobody", SILENT: "error"}


async def doubted(answer, *events):
    """Hand over (seconds, event) pairs; what came through, and when."""
    seen = []
    began = asyncio.get_running_loop().time()
    receive = answer.doubtful(
        lambda event: seen.append((now() - began, WORDS.get(event, event))), 10
    )
    for at, event in events:
        await asyncio.sleep(began + at - asyncio.get_running_loop().time())
        receive(event)
    await asyncio.sleep(60)
    return seen


@pytest.mark.task("doubtful")
async def test_who_is_there_is_passed_on_at_once(answer):
    """Sets with instances are passed on at once, smaller ones too."""
    expect(
        await doubted(answer, (0, BOTH), (5, ONE)),
        [(0, "a b"), (5, "a")],
        "a and b, 5 s later only a",
    )


@pytest.mark.task("doubtful")
async def test_that_nobody_is_there_is_held_back(answer):
    """That nobody is left is passed on after ten seconds."""
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY)),
        [(0, "a b"), (15, "nobody")],
        "a and b, 5 s later nobody, with patience_seconds=10",
        "Hold the empty set back for patience_seconds; then it is true after all.",
    )
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY), (20, ONE), (30, NOBODY)),
        [(0, "a b"), (15, "nobody"), (20, "a"), (40, "nobody")],
        "a and b, nobody after 5 s, a again after 20 s, nobody after 30 s",
        "The next time that everybody goes, doubt again.",
    )


@pytest.mark.task("doubtful")
async def test_who_comes_back_ends_the_doubt(answer):
    """If somebody comes back in time, the empty set is never passed on."""
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY), (8, ONE)),
        [(0, "a b"), (8, "a")],
        "a and b, nobody after 5 s, a again after 8 s",
        "Cancel what you have planned: `loop.call_later` returns a handle with `cancel()`.",
    )
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY), (8, ONE), (10, NOBODY)),
        [(0, "a b"), (8, "a"), (20, "nobody")],
        "a and b, nobody after 5 s, a again after 8 s, nobody after 10 s",
        "Forget the handle that you have cancelled: it must not keep you from a new doubt.",
    )


@pytest.mark.task("doubtful")
async def test_a_first_empty_set_is_no_surprise(answer):
    """An empty set is passed on at once if there is nobody to hold on to."""
    expect(
        await doubted(answer, (0, NOBODY)),
        [(0, "nobody")],
        "nobody, as the first thing heard",
        "There is nothing to hold on to: whoever waits for the first set must not wait longer.",
    )
    expect(
        await doubted(answer, (0, SILENT), (5, NOBODY)),
        [(0, "error"), (5, "nobody")],
        "an error, as the first thing heard, and nobody 5 s later",
        "An error says nothing about who is there: still no instances have been heard of.",
    )
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY), (20, NOBODY)),
        [(0, "a b"), (15, "nobody"), (20, "nobody")],
        "a and b, nobody after 5 s, nobody once more after 20 s, with patience_seconds=10",
        "The sink has been told at 15 s that nobody is there. There is nothing left to doubt: "
        "pass it on at once.",
    )


@pytest.mark.task("doubtful")
async def test_errors_are_passed_on_and_change_nothing(answer):
    """Errors are passed on at once; the patience goes on as if they had not been."""
    expect(
        await doubted(answer, (0, BOTH), (5, NOBODY), (7, SILENT), (9, NOBODY)),
        [(0, "a b"), (7, "error"), (15, "nobody")],
        "a and b, nobody after 5 s, an error after 7 s, nobody once more after 9 s",
        "An error has an empty `instances` too, but says nothing about who is there. The patience "
        "counts from the first empty set.",
    )
