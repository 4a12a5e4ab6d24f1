"""The fake is strict: what Azure refuses it refuses, as the real SDK sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import PartitionKey, exceptions
from azure.cosmos.aio import ContainerProxy, CosmosClient

from gateway.storage.cosmos import layout
from tests.support.cosmos_fake import KEY, CosmosFake


@pytest.fixture
async def container(fake: CosmosFake) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(fake.endpoint, KEY) as client:
        database = await client.create_database("d")
        key = PartitionKey(path=list(layout.PARTITION_PATHS), kind="MultiHash")
        yield await database.create_container("records", key, indexing_policy=layout.INDEXING_POLICY)


def item(id_: str = "a", bucket: str = "1", **more: Any) -> dict[str, Any]:
    return {"id": id_, "day": "x", "bucket": bucket, "at": id_, **more}


async def test_a_missing_item_is_404_and_a_second_create_409(container: ContainerProxy) -> None:
    with pytest.raises(exceptions.CosmosResourceNotFoundError):
        await container.read_item("a", partition_key=["x", "1"])
    await container.create_item(item())
    with pytest.raises(exceptions.CosmosResourceExistsError):
        await container.create_item(item())
    assert (await container.read_item("a", partition_key=["x", "1"]))["at"] == "a"


async def test_a_write_on_an_old_version_is_412(container: ContainerProxy) -> None:
    first = await container.upsert_item(item())
    second = await container.replace_item(
        "a", item(), etag=first["_etag"], match_condition=MatchConditions.IfNotModified
    )
    with pytest.raises(exceptions.CosmosAccessConditionFailedError):
        await container.replace_item("a", item(), etag=first["_etag"], match_condition=MatchConditions.IfNotModified)
    with pytest.raises(exceptions.CosmosAccessConditionFailedError):
        await container.delete_item(
            "a", partition_key=["x", "1"], etag=first["_etag"], match_condition=MatchConditions.IfNotModified
        )
    await container.delete_item(
        "a", partition_key=["x", "1"], etag=second["_etag"], match_condition=MatchConditions.IfNotModified
    )


async def test_a_batch_is_all_or_nothing(container: ContainerProxy) -> None:
    await container.create_item(item("known"))
    operations = [("upsert", (item("new"),)), ("create", (item("known"),)), ("upsert", (item("last"),))]
    with pytest.raises(exceptions.CosmosBatchOperationError) as failure:
        await container.execute_item_batch(operations, partition_key=["x", "1"])
    assert (failure.value.status_code, failure.value.error_index) == (409, 1)
    assert [answer["statusCode"] for answer in failure.value.operation_responses] == [424, 409, 424]
    with pytest.raises(exceptions.CosmosResourceNotFoundError):
        await container.read_item("new", partition_key=["x", "1"])


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    ("documents", "status"),
    [
        ([item(str(n)) for n in range(101)], 400),
        ([item("a", "2")], 400),
        ([item("a", ttl=0)], 400),
        ([item("a/b")], 400),
        ([item("a", large="x" * 2_200_000)], 413),
    ],
    ids=["too many", "another partition", "ttl", "id", "too large"],
)
async def test_what_breaks_a_limit_is_refused(
    container: ContainerProxy, documents: list[dict[str, Any]], status: int
) -> None:
    with pytest.raises((exceptions.CosmosHttpResponseError, exceptions.CosmosBatchOperationError)) as failure:
        await container.execute_item_batch([("upsert", (d,)) for d in documents], partition_key=["x", "1"])
    assert failure.value.status_code == status


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM c",
        "SELECT VALUE c.id FROM c WHERE c.day = @day OR c.at = @day",
        "SELECT VALUE c.id FROM c WHERE c.day = @other",
        "SELECT VALUE c.id FROM c WHERE c.record = @day",
        "SELECT VALUE c.id FROM c WHERE c.day = @day ORDER BY c.bucket DESC",
        "SELECT VALUE c.id FROM c WHERE c.day = @day ORDER BY c.at DESC, c.owner DESC",
        "SELECT VALUE c.id FROM c WHERE c.day = @day ORDER BY c.owner DESC, c.at ASC",
    ],
)
async def test_a_query_that_is_not_known_or_that_no_index_holds_is_400(container: ContainerProxy, text: str) -> None:
    with pytest.raises(exceptions.CosmosHttpResponseError) as failure:
        _ = [
            row
            async for row in container.query_items(
                text, parameters=[{"name": "@day", "value": "x"}], partition_key=["x", "1"]
            )
        ]
    assert failure.value.status_code == 400


async def test_a_query_without_a_partition_is_refused(container: ContainerProxy) -> None:
    text = "SELECT VALUE c.id FROM c WHERE c.day = @day"
    with pytest.raises(exceptions.CosmosHttpResponseError):
        _ = [row async for row in container.query_items(text, parameters=[{"name": "@day", "value": "x"}])]


async def test_pages_follow_the_continuation_and_a_foreign_token_is_400(container: ContainerProxy) -> None:
    for n in range(5):
        await container.create_item(item(str(n)))

    def pages(day: str, token: str | None = None) -> Any:
        return container.query_items(
            "SELECT VALUE c.id FROM c WHERE c.day = @day ORDER BY c.at DESC",
            parameters=[{"name": "@day", "value": day}], partition_key=["x", "1"], max_item_count=2,
        ).by_page(token)  # fmt: skip

    iterator = pages("x")
    first = [row async for row in await anext(iterator)]
    rest = [row async for page in pages("x", iterator.continuation_token) async for row in page]
    assert (first, rest) == (["4", "3"], ["2", "1", "0"])
    with pytest.raises(exceptions.CosmosHttpResponseError):
        await anext(pages("y", iterator.continuation_token))
