"""The catalogue over gRPC: its methods, and a client with the service's own interface."""

from dataclasses import astuple
from typing import Any

import grpc

from course_lib.shop import shop_pb2 as pb
from course_lib.shop.catalogue import (
    AddProduct,
    GetProduct,
    ListProducts,
    Product,
    Release,
    Reserve,
)
from course_lib.shop.catalogue_endpoints import CatalogueClient, CatalogueEndpoints
from course_lib.shop.shop_pb2_grpc import CatalogueStub
from course_lib.transport.grpc_client import grpc_client
from course_lib.transport.grpc_server import add_service, grpc_method

SERVICE = pb.DESCRIPTOR.services_by_name["Catalogue"]


def add_catalogue(server: grpc.aio.Server, endpoints: CatalogueEndpoints, **hooks: Any) -> None:
    """Register the catalogue; `before`, `after`, `finalizers` go to each method."""
    parts: dict[str, tuple[Any, Any, Any]] = {
        "GetProduct": (endpoints.get_product, lambda m: GetProduct(m.sku), product_to_pb),
        "AddProduct": (endpoints.add_product, add_from_pb, product_to_pb),
        "ListProducts": (endpoints.list_products, list_from_pb, products_to_pb),
        "Reserve": (endpoints.reserve, lambda m: Reserve(m.sku, m.quantity), product_to_pb),
        "Release": (endpoints.release, lambda m: Release(m.sku, m.quantity), product_to_pb),
    }
    methods = {
        name: grpc_method(*part, name=f"/shop.Catalogue/{name}", **hooks)
        for name, part in parts.items()
    }
    add_service(server, SERVICE, methods)


def grpc_catalogue_client(channel: grpc.aio.Channel, **hooks: Any) -> CatalogueClient:
    """The catalogue at the other end of a channel."""
    stub = CatalogueStub(channel)
    return CatalogueClient(
        CatalogueEndpoints(
            get_product=grpc_client(stub.GetProduct, get_to_pb, product_from_pb, **hooks),
            add_product=grpc_client(stub.AddProduct, product_to_pb, product_from_pb, **hooks),
            list_products=grpc_client(stub.ListProducts, list_to_pb, products_from_pb, **hooks),
            reserve=grpc_client(stub.Reserve, item_to_pb, product_from_pb, **hooks),
            release=grpc_client(stub.Release, item_to_pb, product_from_pb, **hooks),
        )
    )


def product_to_pb(product: Product | AddProduct) -> pb.Product:
    """A product, or the wish to offer one."""
    sku, title, price_cents, stock = astuple(product)
    return pb.Product(sku=sku, title=title, price_cents=price_cents, stock=stock)


def product_from_pb(message: pb.Product) -> Product:
    """A product."""
    return Product(message.sku, message.title, message.price_cents, message.stock)


def add_from_pb(message: pb.Product) -> AddProduct:
    """The request to offer a product."""
    return AddProduct(message.sku, message.title, message.price_cents, message.stock)


def products_to_pb(products: list[Product]) -> pb.ProductList:
    """A page of products."""
    return pb.ProductList(products=[product_to_pb(product) for product in products])


def products_from_pb(message: pb.ProductList) -> list[Product]:
    """A page of products."""
    return [product_from_pb(product) for product in message.products]


def get_to_pb(request: GetProduct) -> pb.GetProductRequest:
    """The request for one product."""
    return pb.GetProductRequest(sku=request.sku)


def list_to_pb(request: ListProducts) -> pb.ListProductsRequest:
    """The request for a page."""
    return pb.ListProductsRequest(limit=request.limit, after=request.after)


def list_from_pb(message: pb.ListProductsRequest) -> ListProducts:
    """The request for a page."""
    limit = message.limit if message.HasField("limit") else ListProducts.limit
    return ListProducts(limit, message.after)


def item_to_pb(request: Reserve | Release) -> pb.Item:
    """So many pieces of one product."""
    return pb.Item(sku=request.sku, quantity=request.quantity)
