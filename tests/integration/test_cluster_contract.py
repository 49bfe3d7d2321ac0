"""A real API server keeps the contract that the cluster in memory keeps (tests/adapters/cluster_contract.py)."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client
from slipway.adapters.cluster import Cluster, Object, kind_of

from tests.adapters.cluster_contract import ClusterContract, World

from .conftest import Kubectl
from .control_plane import TOKEN, ControlPlane


@pytest.fixture
async def world(plane_without_operator: ControlPlane, crds: Kubectl) -> AsyncIterator[World]:
    settings = client.Configuration(host=plane_without_operator.url, api_key={"BearerToken": TOKEN})
    settings.api_key_prefix = {"BearerToken": "Bearer"}
    settings.verify_ssl = False
    cluster = Cluster(client.ApiClient(settings))
    namespace = f"contract-{uuid.uuid4().hex[:10]}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    async def as_another(manifest: dict[str, Any], sub: str) -> Object:
        path = kind_of(manifest).path(namespace, manifest["metadata"]["name"], sub)
        query = [("fieldManager", "another"), ("force", "true")]
        return await cluster._json("PATCH", path, query, manifest, "application/apply-patch+yaml")

    yield World(cluster, namespace, as_another)
    await cluster.close()


class TestApiServer(ClusterContract):
    """Every case."""
