"""The demo shop: pages over `AsyncClient`, served by Starlette. `fuserank shop` starts it."""
