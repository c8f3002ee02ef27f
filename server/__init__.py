"""The process of a server on its own: uvicorn, its bounds, its workers."""
