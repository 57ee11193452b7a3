"""Graders of the exercises to lesson 1.1, from one program to services."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises

# unblock


def greeting(name, *, mark="."):
    return f"hello {name}{mark}"


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_gives_the_result_back(answer):
    """The result comes back, and every argument arrives."""
    greet = answer.unblock(greeting, at_most=2)
    expect(await greet("Ada", mark="?"), "hello Ada?", "await greet('Ada', mark='?')")


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_the_loop_goes_on(answer):
    """While the function blocks, the event loop does other things."""
    gone_on = threading.Event()
    call = asyncio.create_task(answer.unblock(gone_on.wait, at_most=2)(0.5))
    await asyncio.sleep(0.01)
    gone_on.set()
    ensure(
        await call,
        "The function must run in another thread; a call in the loop's own thread holds the loop.",
        call="a function that blocks for half a second",
        got="an event loop that stood still until the function was done",
        expected="an event loop that went on",
    )


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_no_more_than_at_most_run_at_once(answer):
    """With at_most=2, eight calls at once never run more than two functions at once."""
    lock, running, most = threading.Lock(), 0, 0

    def block():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    call = answer.unblock(block, at_most=2)
    await asyncio.gather(*(call() for _ in range(8)))
    ensure(
        most <= 2,
        "The library would be called more often than it was said to stand. Make one pool for all "
        "calls, outside the inner function: with as many threads as may run at once.",
        call="eight calls at once, at_most=2",
        got=f"{most} functions running at the same time",
        expected="at most 2",
    )


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_as_many_as_at_most_run_at_once(answer):
    """With at_most=2, two do run at once, and another function is not kept waiting by them."""
    together, over, of_the_loop = threading.Barrier(2), threading.Event(), threading.get_ident()

    def wait(seconds):
        if threading.get_ident() != of_the_loop:  # if it is, another check says so
            together.wait(seconds)

    meet = answer.unblock(wait, at_most=2)
    with no_error(
        threading.BrokenBarrierError,
        call="two calls, each of which waits until the other one runs, at_most=2",
        expected="both running at the same time",
        why="`at_most` is how many threads there are: `ThreadPoolExecutor(at_most)`.",
    ):
        await asyncio.gather(meet(0.5), meet(0.5))
    wait_for_it = answer.unblock(lambda: threading.get_ident() == of_the_loop or over.wait(0.5), 1)
    busy = asyncio.create_task(wait_for_it())
    await asyncio.sleep(0.01)
    await answer.unblock(over.set, at_most=1)()
    ensure(
        await busy,
        "`at_most` counts the calls of one function. Make the pool inside `unblock`.",
        call="two functions, each unblocked with at_most=1, called at the same time",
        got="a second function that waited for the first",
        expected="both running at the same time",
    )


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_who_gives_up_leaves_a_thread_behind(answer):
    """When a caller gives up, its function still runs, and still counts; so does the loop run."""
    begun, over, two = threading.Event(), threading.Event(), threading.Event()
    lock, running, most, stood_still = threading.Lock(), 0, 0, False
    of_the_loop = threading.get_ident()

    def block(waiting_for, seconds):
        nonlocal running, most, stood_still
        with lock:
            running += 1
            most = max(most, running)
            if running > 1:
                two.set()
        begun.set()
        if threading.get_ident() != of_the_loop:  # if it is, another check says so
            in_time = waiting_for.wait(seconds)
            stood_still = stood_still or (waiting_for is over and not in_time)
        with lock:
            running -= 1

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    call = answer.unblock(block, at_most=1)
    await asyncio.gather(call(two, 0.1), call(two, 0.1))
    if most > 1:  # although nobody has given up: another check says so
        return
    begun.clear()
    first = asyncio.create_task(call(over, 2))  # only a loop that stands still is so long in coming
    while not begun.is_set() and not first.done():
        await asyncio.sleep(0.001)
    first.cancel()
    second = asyncio.create_task(call(over, 2))
    await asyncio.sleep(0.05)
    over.set()
    await asyncio.wait([first, second])
    ensure(
        not stood_still,
        "Whoever gives up must not wait for the thread on the loop. The end of `with "
        "ThreadPoolExecutor(...)` waits until the function returns, and everybody else with it. "
        "Make one pool for all calls, outside the inner function.",
        call="a call whose caller gives up while the function runs",
        got="an event loop that stood still until the function was done",
        expected="an event loop that went on",
    )
    ensure(
        most <= 1,
        "A thread cannot be cancelled: it is busy until the function returns. Let the number of "
        "threads be the bound, not the number of callers who wait.",
        call="two calls with at_most=1, and the caller of the first gives up",
        got=f"{most} functions running at the same time",
        expected="at most 1",
    )


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_errors_come_back_and_the_turn_is_given_back(answer):
    """Errors come back to the caller, and the next call has its turn."""

    def refuse():
        raise LookupError("no such card")

    call = answer.unblock(refuse, at_most=1)
    for number in ("first", "second"):
        with raises(LookupError, call=f"the {number} call", names="no such card"):
            async with asyncio.timeout(1):
                await call()


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_context_variables_come_along(answer):
    """Inside the function, a context variable has the value it has where the call was made."""
    trace_id = ContextVar("trace_id", default="none")
    seen = answer.unblock(trace_id.get, at_most=2)
    for value in ("4bf92f", "00f067"):
        trace_id.set(value)
        expect(
            await seen(),
            value,
            f"trace_id.get() inside the thread, after trace_id.set({value!r})",
            "A thread of a pool has no context of its own. `contextvars.copy_context().run` takes "
            "the caller's along; copy it where the call is made, at each call anew.",
        )


@pytest.mark.task("unblock")
@pytest.mark.real_time
async def test_others_get_a_thread_while_all_payments_run(answer):
    """While every payment runs, the event loop's own pool has a thread for a lookup."""
    begun, looked_up = threading.Event(), threading.Event()

    def pay():
        begun.set()
        return looked_up.wait(2)  # only a lookup that gets no thread makes anybody wait so long

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    paying = asyncio.create_task(answer.unblock(pay, at_most=1)())
    while not begun.is_set() and not paying.done():
        await asyncio.sleep(0.001)
    loop_went_on = not paying.done()  # if it did not, another check says so
    await asyncio.to_thread(looked_up.set)
    ensure(
        await paying or not loop_went_on,
        "`asyncio.to_thread` and `run_in_executor(None, ...)` share one pool with everything else, "
        "host names too. A pool of your own, `ThreadPoolExecutor(at_most)`, leaves that one alone.",
        call="a payment, and a lookup in the loop's own pool, which has one thread",
        got="a lookup that got no thread until the payment was over",
        expected="a lookup that is done while the payment runs",
    )


# settings

FILE = 'port = 8003\nname = "orders"\ntimeout_seconds = 1.5\ndebug = true\n'
FROM_FILE = {"port": 8003, "name": "orders", "timeout_seconds": 1.5, "debug": True}


@pytest.mark.task("settings")
def test_the_file_is_read(answer):
    """Without variables, the file decides; variables it does not name are left alone."""
    got = answer.settings(FILE, {"HOME": "/root", "port": "1"})
    expect(got, FROM_FILE, "settings(file, {'HOME': '/root', 'port': '1'})")


@pytest.mark.task("settings")
def test_a_variable_goes_before_the_file_and_gets_its_type(answer):
    """A variable goes before the file, and a number stays a number."""
    variables = {"PORT": "9000", "NAME": "o2", "TIMEOUT_SECONDS": "3"}
    kept = dict(variables)
    got = answer.settings(FILE, variables)
    expected = {**FROM_FILE, "port": 9000, "name": "o2", "timeout_seconds": 3.0}
    expect(got, expected, f"settings(file, {variables})", "Everything in the environment is text.")
    why = "The environment is the caller's; others read it, too. Look up, take nothing out."
    expect(variables, kept, f"the environment after settings(file, {kept})", why)
    ensure(
        type(got["timeout_seconds"]) is float,
        "The value in the file says which type it has.",
        call="settings(file, {'TIMEOUT_SECONDS': '3'})['timeout_seconds']",
        got=repr(got["timeout_seconds"]),
        expected="3.0",
    )
    why = "A string is taken as it is, with its blanks. Do not strip it."
    got = answer.settings(FILE, {"NAME": " o2 "})["name"]
    expect(got, " o2 ", "settings(file, {'NAME': ' o2 '})['name']", why)
    got = answer.settings("maxItems = 3", {"MAXITEMS": "0"})
    why = "The names are those of the file, and 0 is a number like any other."
    expect(got, {"maxItems": 0}, "settings('maxItems = 3', {'MAXITEMS': '0'})", why)


@pytest.mark.task("settings")
def test_false_is_false(answer):
    """DEBUG=false and DEBUG=faLSE switch debugging off; perhaps, 0 and " true" are refused."""
    number = "If it went to `int`: True is an int, too. Ask for `bool` before you ask for `int`."
    capitals = "Any mixture of capitals will do: compare `given.lower()`."
    for given, refusal in (("false", number), ("False", capitals), ("faLSE", capitals)):
        call = f"settings(file, {{'DEBUG': {given!r}}})['debug']"
        why = "`bool` of a string that is not empty is True. Look at what the text says."
        with no_error(ValueError, call=call, expected="False", why=refusal):
            got = answer.settings(FILE, {"DEBUG": given})["debug"]
        expect(got, False, call, why)
    why = "Only `true` and `false` are booleans here. Refuse the rest, and name the variable."
    for given in ("perhaps", "0", "yes"):
        variables = {"DEBUG": given}
        with raises(ValueError, call=f"settings(file, {variables})", names="DEBUG", why=why):
            answer.settings(FILE, variables)
    why = "A blank is a character like any other: take the text as it is. Do not strip it."
    for given in (" true", "false "):
        variables = {"DEBUG": given}
        with raises(ValueError, call=f"settings(file, {variables})", names="DEBUG", why=why):
            answer.settings(FILE, variables)


@pytest.mark.task("settings")
def test_true_is_true(answer):
    """DEBUG=TRUE switches debugging on where the file says false."""
    number = "If it went to `int`: True is an int, too. Ask for `bool` before you ask for `int`."
    for given, refusal in (("true", number), ("TRUE", "Capitals do not matter.")):
        call = f"settings('debug = false', {{'DEBUG': {given!r}}})"
        with no_error(ValueError, call=call, expected="{'debug': True}", why=refusal):
            got = answer.settings("debug = false", {"DEBUG": given})
        why = "The file decides which names there are, at each call anew."
        expect(got, {"debug": True}, call, why)


@pytest.mark.task("settings")
def test_empty_is_not_set(answer):
    """A variable that is set to nothing leaves the file's value."""
    variables = {"PORT": "", "NAME": "", "DEBUG": ""}
    call = f"settings(file, {variables})"
    why = "`PORT=` in a shell script or a manifest means: not set."
    with no_error(ValueError, call=call, expected=repr(FROM_FILE), why=why):
        got = answer.settings(FILE, variables)
    expect(got, FROM_FILE, call, why)


@pytest.mark.task("settings")
def test_nonsense_is_refused_by_name(answer):
    """A number that is none is refused, and the message names the variable."""
    why = "Somebody reads this at night, with thirty variables to choose from. Name the one."
    for name, given in (("PORT", "eighty"), ("TIMEOUT_SECONDS", "eighty"), ("PORT", "80.5")):
        variables = {name: given}
        with raises(ValueError, call=f"settings(file, {variables})", names=name, why=why):
            answer.settings(FILE, variables)


# work


class Shop:
    """Does a job `(seconds, result)`, and remembers how many at once and how each one ended."""

    def __init__(self):
        self.running, self.most, self.begun, self.done, self.cancelled = 0, 0, [], [], []

    async def do(self, job):
        seconds, result = job
        self.begun.append(result)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(result)
            raise
        finally:
            self.running -= 1
        if isinstance(result, Exception):
            raise result
        self.done.append(result)
        return result


async def worked(answer, jobs, shop, workers):
    try:
        return await answer.work(jobs, shop.do, workers)
    except ExceptionGroup as group:
        raise CheckFailed(
            "A TaskGroup wraps the errors of its tasks in a group. Raise the error itself.",
            call=f"work([one that fails, ...], do, workers={workers})",
            got=repr(group),
            expected=repr(group.exceptions[0]),
        ) from None


@pytest.mark.task("work")
async def test_results_stand_in_the_order_of_the_jobs(answer):
    """The results stand in the order of the jobs, whichever is done first."""
    jobs = [(3, "a"), (1, "b"), (2, "c")]
    got = await answer.work(jobs, Shop().do, 3)
    why = "Note the number of a job beside its result."
    expect(got, ["a", "b", "c"], "work([3 s, 1 s, 2 s], do, workers=3)", why)


@pytest.mark.task("work")
async def test_any_value_is_a_job_and_a_result(answer):
    """None, 0 and an empty list are jobs and results, and two jobs may be equal."""

    async def same(job):
        return job

    for jobs in ([0, None, "", [], "ada"], ["ada", "ada"]):
        call = f"work({jobs}, same, workers=2), where same(job) returns the job"
        why = "Only the end of `jobs` is the end. Keep a result by the number of its job."
        with no_error(TypeError, call=call, expected=repr(jobs), why=why):
            got = await answer.work(list(jobs), same, 2)
        expect(got, jobs, call, why)


@pytest.mark.task("work")
async def test_as_many_as_workers_at_once(answer):
    """Ten jobs of a second and three workers: four seconds, and three jobs at once."""
    shop, clock = Shop(), asyncio.get_running_loop().time
    started = clock()
    await answer.work([(1, n) for n in range(10)], shop.do, 3)
    seconds = clock() - started
    expect(shop.most, 3, "the most jobs that were done at the same time, workers=3")
    expect(seconds, 4, "seconds for ten jobs of a second, workers=3", within=0.01)
    started = clock()
    await answer.work([(3, "long"), (1, "b"), (1, "c"), (1, "d")], Shop().do, 2)
    call, seconds = "seconds for jobs of 3 s, 1 s, 1 s and 1 s, workers=2", clock() - started
    why = "Who is done takes the next job at once, and does not wait for the others."
    expect(seconds, 3, call, why, within=0.01)


@pytest.mark.task("work")
async def test_jobs_are_taken_when_a_worker_is_free(answer):
    """A generator of two million jobs is read as far as there are free workers."""
    taken = 0

    def lines():
        nonlocal taken
        for number in range(2_000_000):
            taken += 1
            if taken > 50:
                return
            yield (1, number)

    whole = asyncio.create_task(answer.work(lines(), Shop().do, 4))
    await asyncio.sleep(1.5)  # one job of each worker is done, the second one is half done
    if whole.done():
        whole.result()
    whole.cancel()
    await asyncio.wait([whole])
    ensure(
        taken <= 8,
        "Do not make a list or a task of every job, and take none in advance. Let each worker take "
        "the next job by itself.",
        call="work(generator, do, workers=4), after 1.5 s, each job takes 1 s",
        got="the whole generator read" if taken > 50 else f"{taken} jobs taken",
        expected="8 jobs taken",
    )


@pytest.mark.task("work")
async def test_an_error_is_raised_as_it_is(answer):
    """The error of a job is raised as it is, and no other job is begun."""
    shop, error = Shop(), LookupError("line 2")
    jobs = [(1, "a"), (1, error), *[(1, n) for n in range(20)]]
    with raises(LookupError, call="work([a, one that fails, ...], do, workers=2)", names="line 2"):
        await worked(answer, jobs, shop, 2)
    await asyncio.sleep(60)
    why = "Nobody asked for a second attempt. What a job does may have been half done."
    expect(shop.begun.count(error), 1, "how often the job that fails was begun", why)
    ensure(
        len(shop.done) <= 2,
        "After the error, no further job may be begun. Stop the other workers.",
        call="work([a, one that fails, 20 more], do, workers=2)",
        got=f"{len(shop.done)} jobs done in the end",
        expected="the one that was done before the error",
    )


@pytest.mark.task("work")
async def test_what_is_being_done_is_cancelled(answer):
    """When a job fails, a job that is being done is cancelled."""
    shop = Shop()
    jobs = [(1, LookupError("first")), (30, "slow")]
    with raises(LookupError, call="work([one that fails, a slow one], do, workers=2)"):
        await worked(answer, jobs, shop, 2)
    await asyncio.sleep(60)
    expect(
        (shop.done, shop.cancelled),
        ([], ["slow"]),
        "(jobs done, jobs cancelled) after one failed at 1 s and one needed 30 s",
        "`gather` raises the first error and leaves the other tasks running. Cancel them.",
    )


@pytest.mark.task("work")
async def test_who_is_cancelled_cancels(answer):
    """When `work` itself is cancelled, so are the jobs that are being done."""
    shop = Shop()
    whole = asyncio.create_task(answer.work([(30, "a"), (30, "b"), (30, "c")], shop.do, 2))
    await asyncio.sleep(1)
    whole.cancel()
    await asyncio.sleep(100)
    expect(
        (shop.done, sorted(shop.cancelled)),
        ([], ["a", "b"]),
        "(jobs done, jobs cancelled) after `work` was cancelled at 1 s",
        "`asyncio.wait` leaves its tasks running. Cancel them in `finally`, however it ends.",
    )


@pytest.mark.task("work")
async def test_no_jobs_no_results(answer):
    """Without jobs there are no results."""
    expect(await answer.work([], Shop().do, 3), [], "work([], do, workers=3)")


# foreign_imports

ORDERS = "shop/internal/orders.py"
WALL = [(ORDERS, "catalogue")]
FORMS = (
    "from shop.internal import catalogue",
    "from shop.internal.catalogue import PRICES",
    "import shop.internal.catalogue",
    "import shop.internal.catalogue as c",
    "from shop.internal import catalogue as shelf",
    "from shop.internal import orders, catalogue",
    "import os, shop.internal.catalogue",
)


@pytest.mark.task("foreign_imports")
def test_every_form_of_import_is_found(answer):
    """All forms of an import are found."""
    forms = "There are two kinds of nodes, and the second, ast.ImportFrom, comes in two forms."
    several = "One import may name several things: go through all of its `.names`."
    for line in FORMS:
        why = several if ", " in line else forms
        expect(answer.foreign_imports({ORDERS: line}), WALL, f"foreign_imports of `{line}`", why)


@pytest.mark.task("foreign_imports")
def test_an_import_inside_a_function_is_found(answer):
    """An import inside a function is an import."""
    source = "\n    ".join(["def price():", *FORMS, "return catalogue.price"])
    why = "Somebody hid it there because of a circular import. Walk the whole tree."
    expect(answer.foreign_imports({ORDERS: source}), WALL, "an import inside a function", why)


@pytest.mark.task("foreign_imports")
def test_words_are_not_imports(answer):
    """An import in a comment or a docstring is none."""
    source = '"""\nfrom shop.internal import catalogue\n"""\n# import shop.internal.users\n'
    why = "Ask the syntax tree, not the text."
    expect(answer.foreign_imports({ORDERS: source}), [], "a docstring and a comment", why)


@pytest.mark.task("foreign_imports")
def test_what_is_allowed_passes(answer):
    """Entry points may import services; a service may import itself, pkg and libraries."""
    files = {
        "shop/cmd/everything.py": "from shop.internal import catalogue, orders, users",
        "shop/pkg/serving.py": "import fastapi, uvicorn\nfrom shop.pkg import settings",
        ORDERS: "import fastapi\nfrom shop.pkg.remote import price\nimport shop.internal.orders",
        "shop/internal/supply.py": "from shop.internal import supply",
    }
    expect(answer.foreign_imports(files), [], "a project that keeps to the rules")


@pytest.mark.task("foreign_imports")
def test_the_wall_stands_around_internal_alone(answer):
    """Only files in shop/internal/ are at fault, and only for services of shop.internal."""
    services = "from shop.internal import catalogue, orders"
    for path in ("tests/test_orders.py", "shop/pkg/all.py", "shop/internal_tools/list.py"):
        why = "Only files in `shop/internal/` are at fault."
        expect(answer.foreign_imports({path: services}), [], f"`{services}` in {path}", why)
    for line in ("import shop.internals.catalogue", "from workshop.internal import catalogue"):
        why = "That is another package, which only looks like shop.internal. Compare whole parts."
        expect(answer.foreign_imports({ORDERS: line}), [], f"`{line}` in {ORDERS}", why)
    path, line = "shop/internal/orders_archive.py", "import shop.internal.orders"
    why = "orders_archive is one service, and orders is another. Compare whole names."
    expect(answer.foreign_imports({path: line}), [(path, "orders")], f"`{line}` in {path}", why)


def of(service):
    return f"import shop.internal.{service}\nfrom shop.internal import {service}\n"


@pytest.mark.task("foreign_imports")
def test_each_pair_stands_once_and_in_order(answer):
    """Several violations are sorted, and each pair stands once."""
    files = {
        "shop/internal/users.py": of("orders"),
        ORDERS: of("users") + of("catalogue"),
    }
    expected = [(ORDERS, "catalogue"), (ORDERS, "users"), ("shop/internal/users.py", "orders")]
    got = answer.foreign_imports(files)
    expect(got, expected, "foreign_imports of three services, each imported twice")
