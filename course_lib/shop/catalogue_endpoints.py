"""The operations of the catalogue as endpoints, and a catalogue made of endpoints."""

from dataclasses import dataclass

from course_lib.endpoint import Endpoint
from course_lib.shop.catalogue import (
    AddProduct,
    CatalogueService,
    GetProduct,
    ListProducts,
    Product,
    Release,
    Reserve,
)
from course_lib.shop.endpoints import Wrap, bare


@dataclass(frozen=True)
class CatalogueEndpoints:
    """The operations of the catalogue, one endpoint each."""

    get_product: Endpoint
    add_product: Endpoint
    list_products: Endpoint
    reserve: Endpoint
    release: Endpoint


def catalogue_endpoints(service: CatalogueService, wrap: Wrap = bare) -> CatalogueEndpoints:
    """Make endpoints of a service, each inside the middleware made for its name."""

    async def get_product(request: GetProduct) -> Product:
        return await service.get_product(request.sku)

    async def add_product(request: AddProduct) -> Product:
        return await service.add_product(
            request.sku, request.title, request.price_cents, request.stock
        )

    async def list_products(request: ListProducts) -> list[Product]:
        return await service.list_products(request.limit, request.after)

    async def reserve(request: Reserve) -> Product:
        return await service.reserve(request.sku, request.quantity)

    async def release(request: Release) -> Product:
        return await service.release(request.sku, request.quantity)

    return CatalogueEndpoints(
        get_product=wrap("get_product")(get_product),
        add_product=wrap("add_product")(add_product),
        list_products=wrap("list_products")(list_products),
        reserve=wrap("reserve")(reserve),
        release=wrap("release")(release),
    )


class CatalogueClient:
    """A catalogue made of endpoints: what a caller holds in place of the service itself."""

    def __init__(self, endpoints: CatalogueEndpoints) -> None:
        self._endpoints = endpoints

    async def get_product(self, sku: str) -> Product:
        """See CatalogueService."""
        return await self._endpoints.get_product(GetProduct(sku))

    async def add_product(self, sku: str, title: str, price_cents: int, stock: int) -> Product:
        """See CatalogueService."""
        return await self._endpoints.add_product(AddProduct(sku, title, price_cents, stock))

    async def list_products(self, limit: int = 50, after: str = "") -> list[Product]:
        """See CatalogueService."""
        return await self._endpoints.list_products(ListProducts(limit, after))

    async def reserve(self, sku: str, quantity: int) -> Product:
        """See CatalogueService."""
        return await self._endpoints.reserve(Reserve(sku, quantity))

    async def release(self, sku: str, quantity: int) -> Product:
        """See CatalogueService."""
        return await self._endpoints.release(Release(sku, quantity))
