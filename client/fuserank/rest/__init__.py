"""A REST API over `AsyncClient`, for callers that do not speak gRPC. `fuserank rest` starts it."""
