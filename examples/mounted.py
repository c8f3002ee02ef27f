"""Tallied below a path of a Starlette application.

    tallied migrate --database sqlite+aiosqlite:///forum.db
    uvicorn --app-dir examples mounted:app

Then http://127.0.0.1:8000/discussion/graphql is the API and, in development, its playground.
"""

import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tallied.discussion import Discussion
from tallied.settings import Settings

database = os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///forum.db")
settings = Settings(environment="development", guests="write")
discussion = Discussion(database, settings=settings)
home = Route("/", lambda _: PlainTextResponse("The host's own page"))
routes = [home, Mount("/discussion", routes=discussion.routes())]
app = Starlette(routes=routes, lifespan=discussion.lifespan)
