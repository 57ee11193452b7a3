"""The catalogue over HTTP: its routes, and a client with the service's own interface."""

from typing import Any

from course_lib.shop.catalogue import (
    AddProduct,
    GetProduct,
    ListProducts,
    Product,
    Release,
    Reserve,
)
from course_lib.shop.catalogue_endpoints import CatalogueClient, CatalogueEndpoints
from course_lib.transport.http_client import http_client
from course_lib.transport.http_server import Route

_ONE = "/products/{sku}"


def catalogue_routes(endpoints: CatalogueEndpoints, **hooks: Any) -> list[Route]:
    """The routes of the catalogue; `before`, `after`, `finalizers` go to each of them."""
    add = endpoints.add_product
    return [
        Route("GET", _ONE, endpoints.get_product, GetProduct, Product, **hooks),
        Route("GET", "/products", endpoints.list_products, ListProducts, list[Product], **hooks),
        Route("POST", "/products", add, AddProduct, Product, status=201, **hooks),
        Route("POST", f"{_ONE}/reserve", endpoints.reserve, Reserve, Product, **hooks),
        Route("POST", f"{_ONE}/release", endpoints.release, Release, Product, **hooks),
    ]


def http_catalogue_client(base_url: str, **options: Any) -> CatalogueClient:
    """The catalogue at this address; `options` are those of `http_client`."""
    return CatalogueClient(
        CatalogueEndpoints(
            get_product=http_client(base_url, "GET", _ONE, Product, **options),
            add_product=http_client(base_url, "POST", "/products", Product, **options),
            list_products=http_client(base_url, "GET", "/products", list[Product], **options),
            reserve=http_client(base_url, "POST", f"{_ONE}/reserve", Product, **options),
            release=http_client(base_url, "POST", f"{_ONE}/release", Product, **options),
        )
    )
