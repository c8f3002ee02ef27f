"""The process of a standalone server: uvicorn, its limits, its workers."""
