"""Graders of the exercises to lesson 2.2, service."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace

import grpc
import pytest

from course_lib.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
)
from course_lib.grading.checks import ensure, expect, no_error, raises
from course_lib.lab.launch import serve_grpc
from course_lib.shop import shop_pb2, shop_pb2_grpc
from course_lib.shop.users import with_demo_users

# sell


@dataclass(frozen=True)
class Product:
    sku: str
    stock: int
    price: int = 3


class Shelf:
    """A table that lets others run while it works, as a database does."""

    def __init__(self, stock):
        self.rows, self.lowest = {"pen": Product("pen", stock)}, stock

    async def get(self, key):
        await asyncio.sleep(0.01)
        return self.rows.get(key)

    async def change(self, key, change):
        """Try again when somebody else was quicker."""
        while (old := self.rows.get(key)) is not None:
            new = change(old)
            await asyncio.sleep(0.01)
            if self.rows[key] is old:
                self.rows[key] = new
                self.lowest = min(self.lowest, new.stock)
                return new
        return None


class BusyShelf(Shelf):
    """Somebody else is always quicker, once: takes one, and puts the price up."""

    async def change(self, key, change):
        if (old := self.rows.get(key)) is not None:
            change(old)
            self.rows[key] = replace(old, stock=old.stock - 1, price=old.price + 1)
        return await super().change(key, change)


class LostShelf(Shelf):
    """Somebody else is quicker, and buys all there is between the first try and the second."""

    def __init__(self, stock, shipped):
        super().__init__(stock)
        self.shipped = shipped

    async def change(self, key, change):
        self.shipped.clear()  # what was shipped before is another check's matter
        if (old := self.rows.get(key)) is not None:
            change(old)
            self.rows[key] = replace(old, stock=0)
        return await super().change(key, change)


class EmptiedShelf(Shelf):
    """The product is taken out of the catalogue after it has been looked at."""

    async def change(self, key, change):
        self.rows.pop(key, None)
        return await super().change(key, change)


class SoldOutShelf(Shelf):
    """Others buy all there is, after it has been looked at."""

    async def change(self, key, change):
        if (old := self.rows.get(key)) is not None:
            self.rows[key] = replace(old, stock=0)
        return await super().change(key, change)


@pytest.mark.task("sell")
async def test_takes_from_the_stock(answer):
    """Of 5 pens, 2 are sold: 3 are left."""
    shelf = Shelf(5)
    sold = await answer.sell(shelf, "pen", 2, lambda quantity: None)
    expect(sold, Product("pen", 3), 'await sell(table, "pen", 2, ship) of 5', "Return the product.")
    expect(shelf.rows["pen"].stock, 3, "the stock after selling 2 of 5", "Keep it in the table.")


@pytest.mark.task("sell")
async def test_refuses_more_than_there_is(answer):
    """Of 5 pens, 6 cannot be sold, and 5 are left."""
    shelf, call = Shelf(5), 'await sell(table, "pen", 6, ship) of 5'
    why = "The stock is not enough: that is `Conflict`, and its message names the sku."
    with raises(Conflict, call=call, names="pen", why=why):
        await answer.sell(shelf, "pen", 6, lambda quantity: None)
    expect(shelf.rows["pen"].stock, 5, f"the stock after {call}", "Change nothing.")
    why = "For a moment everybody could read it. Look first, inside `change`, and then take."
    expect(shelf.lowest, 5, f"the lowest stock there ever was during {call}", why)


@pytest.mark.task("sell")
async def test_refuses_what_there_is_not(answer):
    """There is no lamp to sell."""
    why = "`table.get` and `table.change` return None when there is no such product: that is "
    why += "`NotFound`, and its message names the sku."
    with raises(NotFound, call='await sell(table, "lamp", 1, ship)', names="lamp", why=why):
        await answer.sell(Shelf(5), "lamp", 1, lambda quantity: None)


@pytest.mark.task("sell")
async def test_refuses_what_is_no_longer_there(answer):
    """A pen that is removed after it has been looked at cannot be sold."""
    call = "await sell of a pen that is removed after `get` and before `change`"
    why = "`table.change` has returned None. Look at that, too: what `get` said is old by then."
    with raises(NotFound, call=call, names="pen", why=why):
        await answer.sell(EmptiedShelf(5), "pen", 1, lambda quantity: None)


@pytest.mark.task("sell")
async def test_the_last_pen_is_sold_once(answer):
    """All pens can be sold, and none twice: of ten customers at once, three get one of three."""
    call, why = 'await sell(table, "pen", 5, ship) of 5', "Refuse only what is more than there is."
    with no_error(Conflict, call=call, expected="a pen with stock=0", why=why):
        await answer.sell(Shelf(5), "pen", 5, lambda quantity: None)
    shelf = Shelf(3)
    calls = [answer.sell(shelf, "pen", 1, lambda quantity: None) for _ in range(10)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, Conflict):
            raise result
    sold = sum(not isinstance(result, Conflict) for result in results)
    expect(
        (sold, shelf.rows["pen"].stock),
        (3, 0),
        "ten customers at once, three pens: how many are sold, and the stock afterwards",
        "While you wait for the table, others sell. What you read before is old by then: look at "
        "the stock inside `change`, on the product it is given.",
    )
    expect(
        await answer.sell(BusyShelf(5), "pen", 2, lambda quantity: None),
        Product("pen", 2, price=4),
        "the product after 2 of 5 were sold, and somebody quicker bought 1 and put the price up",
        "At each call, start from the product that `change` is given, and keep nothing from "
        "before: neither its stock nor the rest of it.",
    )


@pytest.mark.task("sell")
async def test_ships_once_though_the_table_tries_again(answer):
    """A sale ships once, a lost one never, even when the table has to call `change` twice."""
    shipped = []
    await answer.sell(BusyShelf(5), "pen", 2, shipped.append)
    expect(
        shipped,
        [2],
        "what was shipped when somebody else was quicker at first",
        "`change` may be called more than once, so it must do nothing but compute. Ship when "
        "`table.change` has returned.",
    )
    with suppress(Conflict):  # where it raises nothing, another check says so
        await answer.sell(LostShelf(5, shipped), "pen", 2, shipped.append)
        shipped.clear()
    expect(
        shipped,
        [],
        "what was shipped when `change` was called twice, the second time with stock=0",
        "The first try was not kept, and so nothing was sold. Do not ship inside `change`, not "
        "even once: ship when `table.change` has returned.",
    )


@pytest.mark.task("sell")
async def test_ships_nothing_without_a_sale(answer):
    """What cannot be sold is not shipped."""
    shipped = []
    for shelf, sku in ((Shelf(1), "pen"), (Shelf(1), "lamp")):
        with raises((Conflict, NotFound)[sku == "lamp"], call=f'sell(table, "{sku}", 2, ship)'):
            await answer.sell(shelf, sku, 2, shipped.append)
    why = "Ship after the stock has been taken, not before."
    expect(shipped, [], "what was shipped when nothing could be sold", why)
    for shelf, what in ((SoldOutShelf(5), "sold to others"), (EmptiedShelf(5), "removed")):
        with suppress(Conflict, NotFound):  # where it raises neither, another check says so
            await answer.sell(shelf, "pen", 2, shipped.append)
            shipped.clear()
        call = f"what was shipped when all pens were {what} after `get` and before `change`"
        why = "Ship after `table.change` has returned. Until then somebody may be quicker."
        expect(shipped, [], call, why)


# fill_the_skeleton


class Leaking:
    """A service with a bug that knows a secret."""

    async def get_user(self, user_id):
        raise RuntimeError("cannot log in with password hunter2")

    async def create_user(self, name, age):
        raise RuntimeError("cannot log in with password hunter2")


class Refusing:
    """A service that raises the same error whatever is asked of it."""

    def __init__(self, error):
        self.error = error

    async def get_user(self, user_id):
        raise self.error

    async def create_user(self, name, age):
        raise self.error


async def ask(answer, operation, request, service=None):
    """The answer of a real server on loopback, or its status and details."""
    servicer = answer.FilledUsers(service or with_demo_users())
    with serve_grpc(
        lambda server: shop_pb2_grpc.add_UsersServicer_to_server(servicer, server)
    ) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            method = getattr(shop_pb2_grpc.UsersStub(channel), operation)
            try:
                user = await method(request, timeout=5)
            except grpc.aio.AioRpcError as error:
                if "NotImplementedError" in error.details():
                    raise NotImplementedError(operation) from None  # not begun, or left out
                return error.code().name, error.details()
            return user.user_id, user.name, user.age


def get(user_id):
    return "GetUser", shop_pb2.GetUserRequest(user_id=user_id)


def create(name, age):
    return "CreateUser", shop_pb2.CreateUserRequest(name=name, age=age)


@pytest.mark.real_time
@pytest.mark.task("fill_the_skeleton")
async def test_gets_a_user(answer):
    """GetUser answers with the user."""
    expect(await ask(answer, *get(1)), (1, "Ada", 36), "GetUser(user_id=1) over gRPC")


@pytest.mark.real_time
@pytest.mark.task("fill_the_skeleton")
async def test_creates_a_user(answer):
    """CreateUser answers with the new user and its id."""
    got = await ask(answer, *create("Zoë", 0))
    expect(got, (6, "Zoë", 0), 'CreateUser(name="Zoë", age=0) over gRPC')


@pytest.mark.real_time
@pytest.mark.task("fill_the_skeleton")
async def test_says_not_found(answer):
    """A user who is not there is NOT_FOUND, with the message of the service."""
    expect(
        await ask(answer, *get(7)),
        ("NOT_FOUND", "no user 7"),
        "GetUser(user_id=7) over gRPC",
        "There is no user 7, and the service says so. Turn NotFound into its status.",
    )
    expect(
        await ask(answer, *get(0)),
        ("NOT_FOUND", "no user 0"),
        "GetUser(user_id=0) over gRPC",
        "The service decides what it knows. Pass on what the request says, 0 as well.",
    )
    expect(
        await ask(answer, *create("Ada", 36), service=Refusing(NotFound("no such group"))),
        ("NOT_FOUND", "no such group"),
        "CreateUser over gRPC, of a service that raises NotFound",
        "The table holds for both methods: turn NotFound into its status here, too.",
    )


@pytest.mark.real_time
@pytest.mark.task("fill_the_skeleton")
async def test_says_invalid_argument(answer):
    """An age of 200 is INVALID_ARGUMENT, with the message that names the field."""
    expect(
        await ask(answer, *create("Ada", 200)),
        ("INVALID_ARGUMENT", "age: must be between 0 and 150, got 200"),
        'CreateUser(name="Ada", age=200) over gRPC',
        "The caller must change the request, and can only do that when told what is wrong.",
    )
    expect(
        await ask(answer, *get(1), service=Refusing(InvalidRequest("user_id: must be even"))),
        ("INVALID_ARGUMENT", "user_id: must be even"),
        "GetUser over gRPC, of a service that raises InvalidRequest",
        "The table holds for both methods: turn InvalidRequest into its status here, too.",
    )
    expect(
        await ask(answer, *create("Ada", 36), service=Refusing(PayloadTooLarge("name: too long"))),
        ("INVALID_ARGUMENT", "name: too long"),
        "CreateUser over gRPC, of a service that raises PayloadTooLarge, an InvalidRequest",
        "What is below InvalidRequest in the tree of errors is one, too: `except` sees to it.",
    )


@pytest.mark.real_time
@pytest.mark.task("fill_the_skeleton")
async def test_hides_what_is_not_for_callers(answer):
    """A bug is INTERNAL and tells the caller nothing more."""
    for operation in (get(1), create("Ada", 36)):
        expect(
            await ask(answer, *operation, service=Leaking()),
            ("INTERNAL", "internal error"),
            f"{operation[0]} over gRPC, of a service that raises RuntimeError",
            "The text of an exception you do not know may hold anything. Send a text of your own.",
        )
    for error in (Conflict("hunter2 is taken"), Unavailable("cannot log in with hunter2")):
        expect(
            await ask(answer, *get(1), service=Refusing(error)),
            ("INTERNAL", "internal error"),
            f"GetUser over gRPC, of a service that raises {type(error).__name__}",
            "Anything else, says the table: all that is neither NotFound nor InvalidRequest.",
        )


# unsafe_numbers

USER = {"user_id": (1, "int64"), "name": (2, "string"), "age": (3, "int32")}


def but(**changes):
    """The message with other fields; None takes one away."""
    return {name: field for name, field in {**USER, **changes}.items() if field is not None}


def of_names(first, last, reserved):
    """What becomes of two strings, first = 1 and last = 2."""
    old = {"first": (1, "string"), "last": (2, "string")}
    shown = f"unsafe_numbers of {old}, where first becomes {first}, last becomes {last}"
    return (old, {"first": first, "last": last}, set(reserved)), f"{shown}, reserved: {reserved}"


def judged(answer, new, expected, what, why, reserved=()):
    got = answer.unsafe_numbers(dict(USER), new, set(reserved))
    expect(got, expected, f"unsafe_numbers of user_id = 1, name = 2, int32 age = 3, {what}", why)


@pytest.mark.task("unsafe_numbers")
def test_what_is_new_is_safe(answer):
    """A field with a number of its own is safe."""
    new = but(email=(4, "string"))
    judged(answer, new, [], "and then email = 4 is added", "Old clients skip what they don't know.")


@pytest.mark.task("unsafe_numbers")
def test_a_number_with_another_meaning_is_not(answer):
    """Number 3, once the age and now points, is unsafe."""
    new = but(age=None, points=(3, "int32"))
    why = "Old clients go by the number. They will read points and take them for an age."
    judged(answer, new, [3], "and then 3 is points", why)
    why = "Both names are still there, and an old client takes one for the other."
    given, call = of_names((2, "string"), (1, "string"), [])
    expect(answer.unsafe_numbers(*given), [1, 2], call, why)
    why = "To reserve a number helps when nobody uses it. Here somebody does."
    what = "and then age is 4, points is 3, and 3 is reserved"
    judged(answer, but(age=(4, "int32"), points=(3, "int32")), [3], what, why, reserved={3})


@pytest.mark.task("unsafe_numbers")
def test_a_field_with_another_number_is_not(answer):
    """Name and age, with their numbers exchanged, make both numbers unsafe."""
    new = but(name=(3, "string"), age=(2, "int32"))
    why = "Both names are still there, and an old client finds the wrong thing under each number."
    judged(answer, new, [2, 3], "and then name is 3 and age is 2", why)


@pytest.mark.task("unsafe_numbers")
def test_a_field_may_move_to_a_new_number(answer):
    """A name that takes a new number is safe, when its old number is reserved."""
    why = "Number 2 is not used any more, and reserved. What has a new number, nobody knows yet."
    given, call = of_names((1, "string"), (3, "bytes"), [2])
    expect(answer.unsafe_numbers(*given), [], call, why)


@pytest.mark.task("unsafe_numbers")
def test_another_encoding_is_not(answer):
    """An int32 that becomes a sint32 or a string is unsafe."""
    for kind in ("sint32", "string"):
        why = f"Old clients decode an int32; what a {kind} encodes, they misread or skip."
        judged(answer, but(age=(3, kind)), [3], f"and then age is a {kind}", why)


@pytest.mark.task("unsafe_numbers")
def test_no_other_type_may_change(answer):
    """A type that is not int32 may not change, to int64 or to anything else."""
    for was, now in (
        ("uint32", "uint64"),
        ("float", "double"),
        ("string", "bytes"),
        ("string", "int64"),
        ("bool", "int64"),
    ):
        call = f"unsafe_numbers({{'x': (1, {was!r})}}, {{'x': (1, {now!r})}}, set())"
        got = answer.unsafe_numbers({"x": (1, was)}, {"x": (1, now)}, set())
        expect(got, [1], call, "Only int32 may become int64; any other type must stay.")


@pytest.mark.task("unsafe_numbers")
def test_a_wider_number_is_safe(answer):
    """An int32 may become an int64."""
    why = "The two are encoded in the same way, and what was sent before still fits."
    judged(answer, but(age=(3, "int64")), [], "and then age is an int64", why)


@pytest.mark.task("unsafe_numbers")
def test_a_narrower_number_is_not(answer):
    """An int64 may not become an int32."""
    why = "Large ids would be cut off: only the other way round is allowed."
    judged(answer, but(user_id=(1, "int32")), [1], "and then user_id is an int32", why)


@pytest.mark.task("unsafe_numbers")
def test_what_is_removed_must_be_reserved(answer):
    """A number that is no longer used is unsafe, unless it is reserved."""
    why = "Next year somebody will find number 3 free and use it."
    judged(answer, but(age=None), [3], "and then age is removed", why)
    why = "The compiler will let nobody use it again."
    judged(answer, but(age=None), [], "and then age is removed and 3 reserved", why, reserved={3})


@pytest.mark.task("unsafe_numbers")
def test_the_numbers_are_sorted(answer):
    """The list is sorted by number."""
    old = {name: (number, "string") for name, number in (("a", 10), ("b", 9), ("c", 100))}
    call = f"unsafe_numbers({old}, {{}}, set())"
    why = "Return a sorted list. As text, 10 and 100 stand before 9."
    got = answer.unsafe_numbers(old, {}, set())
    expect(got, sorted(got), call, why)  # which numbers they are, other checks say


# page_asked_for


def asked(**fields):
    given = ", ".join(f"{name}={value}" for name, value in fields.items())
    message = shop_pb2.ListUsersRequest(**fields)
    return message, f"page_asked_for(shop_pb2.ListUsersRequest({given}))"


@pytest.mark.task("page_asked_for")
def test_takes_what_is_given(answer):
    """A limit of 10 after user 7 is (10, 7)."""
    message, call = asked(limit=10, after=7)
    why = "Only a field with `optional` can be asked for by `HasField`; `after` is none."
    with no_error(ValueError, call=call, expected="(10, 7)", why=why):
        expect(answer.page_asked_for(message), (10, 7), call)


@pytest.mark.task("page_asked_for")
def test_a_limit_that_is_not_given_is_50(answer):
    """Without a limit it is 50."""
    message, call = asked(after=7)
    with_default = "A field that was not sent reads as 0. Ask `HasField` whether it was."
    with no_error(InvalidRequest, call=call, expected="(50, 7)", why=with_default):
        got = answer.page_asked_for(message)
    expect(got, (50, 7), call, with_default)
    why = "The message is the caller's. Put the default into a variable of your own."
    expect(message.HasField("limit"), False, f"HasField('limit') after {call}", why)


@pytest.mark.task("page_asked_for")
def test_a_limit_of_zero_is_a_mistake(answer):
    """A limit of 0 that was given is refused."""
    message, call = asked(limit=0)
    why = "Here 0 was sent. Whoever sends it shall hear of it, from a message that names `limit`."
    with raises(InvalidRequest, call=call, names="limit", why=why):
        answer.page_asked_for(message)


@pytest.mark.task("page_asked_for")
def test_a_limit_out_of_range_is_refused(answer):
    """A limit of 1001, or of -1, is refused."""
    why = "Allow 1 to 1000. The message of the error names `limit`."
    for limit in (1001, -1):
        message, call = asked(limit=limit)
        with raises(InvalidRequest, call=call, names="limit", why=why):
            answer.page_asked_for(message)


@pytest.mark.task("page_asked_for")
def test_the_bounds_are_allowed(answer):
    """1 and 1000 are allowed."""
    for limit in (1, 1000):
        message, call = asked(limit=limit)
        why = "From 1 to 1000 means: 1 and 1000 as well."
        with no_error(InvalidRequest, call=call, expected=repr((limit, 0)), why=why):
            expect(answer.page_asked_for(message), (limit, 0), call, why)


# availability_of


def figure(answer, outcomes, expected, why=""):
    """Check the figure of one operation whose calls ended so."""
    shown = ", ".join("None" if each is None else type(each).__name__ for each in outcomes)
    got = answer.availability_of([("get_user", each) for each in outcomes])
    ensure(
        isinstance(got, dict) and "get_user" in got,
        "Return a dict that has a figure for each operation.",
        call=f"availability_of: get_user ended with {shown}",
        got=repr(got),
        expected=repr({"get_user": expected}),
    )
    within = None if expected is None else 1e-9
    call = f"the figure of get_user, whose calls ended with {shown}"
    expect(got["get_user"], expected, call, why, within=within)


@pytest.mark.task("availability_of")
def test_what_returned_is_good(answer):
    """Calls that returned are good."""
    figure(answer, [None, None, None], 100.0)


@pytest.mark.task("availability_of")
def test_answers_are_good(answer):
    """No such user, no permission, a conflict: the service is well."""
    outcomes = [NotFound("no user 7"), Unauthenticated("who are you"), Conflict("taken"), None]
    why = "An answer of no is an answer. Every error of `course_lib.errors` is Answer or Failure."
    figure(answer, outcomes, 100.0, why)
    why = "An answer of no is an answer, and counts: do not leave it out."
    figure(answer, [NotFound("no user 7"), Unavailable("gone")], 50.0, why)


@pytest.mark.task("availability_of")
def test_failures_are_not(answer):
    """Overloaded, too late, nobody there: three of four calls failed."""
    outcomes = [Overloaded("busy"), DeadlineExceeded("late"), Unavailable("gone"), None]
    figure(answer, outcomes, 25.0, "The service could not do its work.")
    figure(answer, [None, None, Unavailable("gone")], 200 / 3, "Do not round.")


@pytest.mark.task("availability_of")
def test_a_bug_is_a_failure_too(answer):
    """An exception that is no CallError is a failure."""
    why = "A bug raises what it likes. What is not an answer and did not return has failed."
    figure(answer, [KeyError("age"), ConnectionResetError(), None, None], 50.0, why)
    why = "Only CancelledError is no verdict. TimeoutError and SystemExit are other exceptions."
    figure(answer, [TimeoutError(), SystemExit(1), None, None], 50.0, why)


@pytest.mark.task("availability_of")
def test_what_the_caller_gave_up_does_not_count(answer):
    """A call its caller gave up counts neither way."""
    outcomes = [asyncio.CancelledError(), None, Unavailable("gone")]
    figure(answer, outcomes, 50.0, "Two calls are left to count: one good, one failed.")


@pytest.mark.task("availability_of")
def test_nothing_to_count_is_no_figure(answer):
    """Without a call to count there is no figure."""
    outcomes = [asyncio.CancelledError()]
    why = "A dashboard that shows 100 % while nobody can reach the service misleads everybody."
    with no_error(ZeroDivisionError, call="get_user ended with CancelledError", why=why):
        figure(answer, outcomes, None, why)
    expect(answer.availability_of([]), {}, "availability_of([])", "No operation, no figure.")


@pytest.mark.task("availability_of")
def test_each_operation_has_its_own_figure(answer):
    """An operation that always fails does not hide behind a busy one."""
    calls = [("get_user", None)] * 9 + [("create_user", Unavailable("gone"))]
    why = "Over all calls it would be 90 %: an operation that always fails hides behind a busy one."
    call = "availability_of: nine times get_user, well, and once create_user, Unavailable"
    expect(answer.availability_of(calls), {"get_user": 100.0, "create_user": 0.0}, call, why)
