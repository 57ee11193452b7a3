from course_lib.endpoint import Endpoint, Middleware, chain


def named(name: str, seen: list[str]) -> Middleware:
    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: object) -> object:
            seen.append(f"{name} before")
            response = await inner(request)
            seen.append(f"{name} after")
            return response

        return endpoint

    return wrap


async def test_the_first_middleware_of_a_chain_is_the_outermost():
    seen: list[str] = []

    async def echo(request: object) -> object:
        seen.append("endpoint")
        return request

    onion = chain(named("a", seen), named("b", seen))(echo)
    assert await onion("hello") == "hello"
    assert seen == ["a before", "b before", "endpoint", "b after", "a after"]


async def test_an_empty_chain_is_the_endpoint_itself():
    async def echo(request: object) -> object:
        return request

    assert chain()(echo) is echo


async def test_chains_nest():
    seen: list[str] = []

    async def echo(request: object) -> object:
        return request

    await chain(chain(named("a", seen), named("b", seen)), named("c", seen))(echo)(1)
    assert seen[:3] == ["a before", "b before", "c before"]
