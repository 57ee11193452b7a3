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
from course_lib.shop.endpoints import Wrap, bare, endpoint_of


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
    return CatalogueEndpoints(
        get_product=wrap("get_product")(endpoint_of(service.get_product)),
        add_product=wrap("add_product")(endpoint_of(service.add_product)),
        list_products=wrap("list_products")(endpoint_of(service.list_products)),
        reserve=wrap("reserve")(endpoint_of(service.reserve)),
        release=wrap("release")(endpoint_of(service.release)),
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
