"""Comments on a page of a Flask application, with Flask-SQLAlchemy and without a line of async.

    pip install "tallied[server]" flask-sqlalchemy
    tallied migrate --database sqlite:///forum.db
    flask --app examples/flask_pages.py run

Then http://127.0.0.1:5000/ has a form, and below it the comments.
"""

import os
from uuid import UUID

from flask import Flask, redirect, render_template_string, request
from flask_sqlalchemy import SQLAlchemy

from tallied.discussion import Discussion
from tallied.errors import Rejected
from tallied.models.counters import counters
from tallied.resolvers.comments import NewComment
from tallied.settings import Settings

url = os.environ.get("DATABASE_URL", f"sqlite:///{os.path.abspath('forum.db')}")
discussion = Discussion("sqlite+aiosqlite://", settings=Settings(guests="write"))

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = url
db = SQLAlchemy(app)
counters.install(db.session)  # the sessions that add, change or delete comments

PAGE = """<!doctype html><title>{{ thread.title }}</title>
<h1>{{ thread.title }}</h1>
<p>{{ thread.comment_count }} comments, {{ thread.word_count }} words</p>
{% if error %}<p role="alert">{{ error }}</p>{% endif %}
<form method="post" action="/{{ thread.id }}">
  <input name="name" aria-label="Name" required>
  <textarea name="message" aria-label="Message" required></textarea>
  <button>Send</button>
</form>
{% for comment in page.nodes %}<article>
  <b>{{ comment.author_name }}</b> {{ comment.message_html | safe }}
</article>{% endfor %}"""


@app.get("/")
def start():
    page = discussion.sync.read_threads(db.session, None, first=1)
    if page.nodes:
        thread_id = page.nodes[0].id
    else:
        host = discussion.access_as_host()
        thread_id = discussion.sync.create_thread(db.session, host, "Tea or coffee?").thread["id"]
        db.session.commit()
    return redirect(f"/{thread_id}")


@app.get("/<uuid:thread_id>")
def show(thread_id: UUID, error: str | None = None):
    thread = discussion.sync.read_thread(db.session, None, thread_id)
    page = discussion.sync.read_comments(db.session, None, thread_id, last=50)
    if thread is None:
        return "There is no such thread.", 404
    return render_template_string(PAGE, thread=thread, page=page, error=error)


@app.post("/<uuid:thread_id>")
def add(thread_id: UUID):
    comment = NewComment(request.form["message"], request.form["name"])
    try:
        discussion.sync.add_comment(db.session, None, thread_id, comment)
    except Rejected as error:
        db.session.rollback()
        return show(thread_id, error.message), 422
    db.session.commit()
    return redirect(f"/{thread_id}")
