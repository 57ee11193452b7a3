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
    trace_id.set("4bf92f")
    expect(
        await answer.unblock(trace_id.get, at_most=2)(),
        "4bf92f",
        "trace_id.get() inside the thread, after trace_id.set('4bf92f')",
        "A thread of a pool has no context of its own. `contextvars.copy_context().run` takes the "
        "caller's along; copy it where the call is made.",
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
    got = answer.settings(FILE, variables)
    expected = {**FROM_FILE, "port": 9000, "name": "o2", "timeout_seconds": 3.0}
    expect(got, expected, f"settings(file, {variables})", "Everything in the environment is text.")
    ensure(
        type(got["timeout_seconds"]) is float,
        "The value in the file says which type it has.",
        call="settings(file, {'TIMEOUT_SECONDS': '3'})['timeout_seconds']",
        got=repr(got["timeout_seconds"]),
        expected="3.0",
    )


@pytest.mark.task("settings")
def test_false_is_false(answer):
    """DEBUG=false and DEBUG=False switch debugging off, and DEBUG=perhaps is refused."""
    for given in ("false", "False"):
        got = answer.settings(FILE, {"DEBUG": given})["debug"]
        why = "`bool` of a string that is not empty is True. Look at what the text says."
        expect(got, False, f"settings(file, {{'DEBUG': {given!r}}})['debug']", why)
    call, why = "settings(file, {'DEBUG': 'perhaps'})", "Refuse it, and name the variable."
    with raises(ValueError, call=call, names="DEBUG", why=why):
        answer.settings(FILE, {"DEBUG": "perhaps"})


@pytest.mark.task("settings")
def test_true_is_true(answer):
    """DEBUG=TRUE switches debugging on where the file says false."""
    got = answer.settings("debug = false", {"DEBUG": "TRUE"})["debug"]
    expect(got, True, "settings('debug = false', {'DEBUG': 'TRUE'})['debug']")


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
    for name in ("PORT", "TIMEOUT_SECONDS"):
        variables = {name: "eighty"}
        with raises(ValueError, call=f"settings(file, {variables})", names=name, why=why):
            answer.settings(FILE, variables)


# work


class Shop:
    """Does a job `(seconds, result)`, and remembers how many at once and how each one ended."""

    def __init__(self):
        self.running, self.most, self.done, self.cancelled = 0, 0, [], []

    async def do(self, job):
        seconds, result = job
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
async def test_as_many_as_workers_at_once(answer):
    """Ten jobs of a second and three workers: four seconds, and three jobs at once."""
    shop, clock = Shop(), asyncio.get_running_loop().time
    started = clock()
    await answer.work([(1, n) for n in range(10)], shop.do, 3)
    seconds = clock() - started
    expect(shop.most, 3, "the most jobs that were done at the same time, workers=3")
    expect(seconds, 4, "seconds for ten jobs of a second, workers=3", within=0.01)


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
        taken <= 12,
        "Do not make a list or a task of every job. Let each worker take the next job by itself.",
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
)


@pytest.mark.task("foreign_imports")
def test_every_form_of_import_is_found(answer):
    """All forms of an import are found."""
    why = "There are two kinds of nodes, and the second, ast.ImportFrom, comes in two forms."
    for line in FORMS:
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
    }
    expect(answer.foreign_imports(files), [], "a project that keeps to the rules")


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
