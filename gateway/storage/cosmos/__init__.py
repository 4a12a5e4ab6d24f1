"""The result store on Azure Cosmos DB. Imports ``azure``, so only ``gateway.storage.factory`` imports it, when asked.

layout    what is stored where: partition key, documents, indices, queries; no I/O
client    options and the SDK's client, with the SDK's own retries held back
faults    the SDK's exceptions as ours
container connecting, requests, their charges
store     the ResultStore port
"""
