"""The catalogue: what the shop sells, and how much of it is left. Business rules only."""

from dataclasses import dataclass, replace
from typing import Protocol

from course_lib.errors import Conflict, InvalidRequest, NotFound
from course_lib.shop.storage import MemoryTable, Table


@dataclass(frozen=True)
class Product:
    """Something to buy; `sku` is the shop's own number for it, `stock` what is left."""

    sku: str
    title: str
    price_cents: int
    stock: int


@dataclass(frozen=True)
class GetProduct:
    """Ask for one product."""

    sku: str


@dataclass(frozen=True)
class AddProduct:
    """Offer a new product."""

    sku: str
    title: str
    price_cents: int
    stock: int


@dataclass(frozen=True)
class ListProducts:
    """Ask for a page of products, by sku."""

    limit: int = 50
    after: str = ""


@dataclass(frozen=True)
class Reserve:
    """Take so many pieces out of the stock."""

    sku: str
    quantity: int


@dataclass(frozen=True)
class Release:
    """Put so many pieces back into the stock."""

    sku: str
    quantity: int


class CatalogueService(Protocol):
    """What the catalogue offers, to those who implement it and to those who call it."""

    async def get_product(self, sku: str) -> Product:
        """The product with this sku; raises NotFound."""

    async def add_product(self, sku: str, title: str, price_cents: int, stock: int) -> Product:
        """A new product; raises Conflict when there is one already, InvalidRequest."""

    async def list_products(self, limit: int = 50, after: str = "") -> list[Product]:
        """At most `limit` products with a sku above `after`, by sku; raises InvalidRequest."""

    async def reserve(self, sku: str, quantity: int) -> Product:
        """Take from the stock; raises Conflict when it is not enough, NotFound."""

    async def release(self, sku: str, quantity: int) -> Product:
        """Put back into the stock; raises NotFound."""


class Catalogue:
    """The catalogue over any storage."""

    def __init__(self, storage: Table[Product]) -> None:
        self._storage = storage

    async def get_product(self, sku: str) -> Product:
        """See CatalogueService."""
        return _found(await self._storage.get(_sku(sku)), sku)

    async def add_product(self, sku: str, title: str, price_cents: int, stock: int) -> Product:
        """See CatalogueService."""
        _between("price_cents", price_cents, 0, 100_000_000)
        _between("stock", stock, 0, 1_000_000_000)
        title = _checked(title, "title")
        return await self._storage.add(Product(_sku(sku), title, price_cents, stock))

    async def list_products(self, limit: int = 50, after: str = "") -> list[Product]:
        """See CatalogueService."""
        _between("limit", limit, 1, 1000)
        return await self._storage.page(limit, _checked(after, "after"))

    async def reserve(self, sku: str, quantity: int) -> Product:
        """See CatalogueService."""
        _between("quantity", quantity, 1, 1000)

        def take(product: Product) -> Product:
            if product.stock < quantity:
                raise Conflict(f"only {product.stock} of {sku} left, {quantity} wanted")
            return replace(product, stock=product.stock - quantity)

        return _found(await self._storage.change(_sku(sku), take), sku)

    async def release(self, sku: str, quantity: int) -> Product:
        """See CatalogueService."""
        _between("quantity", quantity, 1, 1000)

        def put_back(product: Product) -> Product:
            return replace(product, stock=product.stock + quantity)

        return _found(await self._storage.change(_sku(sku), put_back), sku)


def with_demo_products() -> Catalogue:
    """The catalogue in memory, with a book, a lamp and a rare pen."""
    table = MemoryTable(Product)
    table.put(Product("book", "A book about queues", 2_900, 100))
    table.put(Product("lamp", "A lamp to read by", 4_500, 20))
    table.put(Product("pen", "A rare pen", 12_000, 1))
    return Catalogue(table)


def _found(product: Product | None, sku: str) -> Product:
    if product is None:
        raise NotFound(f"no product {sku}")
    return product


def _sku(sku: str) -> str:
    """A sku must be able to stand in a path."""
    if not sku.strip(".") or "/" in sku:
        raise InvalidRequest(f"sku: must be a name without a slash, got {sku[:20]!r}")
    return _checked(sku, "sku")


def _checked(text: str, field: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise InvalidRequest(f"{field}: must be at most 100 printable characters")
    return text


def _between(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequest(f"{field}: must be between {least} and {most}, got {value}")
