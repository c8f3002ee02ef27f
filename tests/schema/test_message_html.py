"""messageHtml, which a host puts into its pages unchanged."""

from __future__ import annotations

from support.api import mutation
from support.host import Host

from tallied.database import Database


async def test_messages_are_rendered_as_html(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    message = "Some *words*<script>alert(1)</script>\n\n[a link](javascript:alert(1))"
    selection = "comment { message messageHtml }"
    added = await host.ada.do("addComment", selection, threadId=thread, message=message)
    html = added["comment"]["messageHtml"]
    assert added["comment"]["message"] == message
    assert "<em>words</em>" in html
    assert "<script" not in html
    assert "href" not in html
    query = """query($id: ID!) { thread(id: $id) { comments(first: 1) {
                 nodes { messageHtml } } } }"""
    result = await host.guest(query, id=thread)
    assert result["comments"]["nodes"] == [{"messageHtml": html}]


async def test_host_renders_messages_itself(database: Database) -> None:
    host = Host(database, render=lambda message: f"<b>{len(message)}</b>")
    thread = await host.ada.thread("Engines", "four")
    query = "query($id: ID!) { thread(id: $id) { comments(first: 1) { nodes { messageHtml } } } }"
    result = await host.guest(query, id=thread)
    assert result["comments"]["nodes"] == [{"messageHtml": "<b>4</b>"}]


async def test_host_that_cannot_render_message_fails_at_its_field(database: Database) -> None:
    def render(message: str) -> str:
        if "bad" in message:
            raise ValueError("the path is /etc/renderer")
        return message

    host = Host(database, render=render)
    thread = await host.ada.thread("Engines")
    good, bad = await host.ada.comment(thread, "good"), await host.ada.comment(thread, "bad")
    query = """query($a: ID!, $b: ID!) { a: comment(id: $a) { messageHtml }
                 b: comment(id: $b) { messageHtml } c: comment(id: $b) { message } }"""
    answer = await host.guest.post(query, a=good, b=bad)
    assert answer["data"] == {"a": {"messageHtml": "good"}, "b": None, "c": {"message": "bad"}}
    (error,) = answer["errors"]
    assert error["path"] == ["b", "messageHtml"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "/etc/renderer" not in str(answer)
    # After a change it says that the change is in.
    answer = await host.ada.post(
        mutation("addComment", "comment { messageHtml } thread { commentCount }"),
        i=host.ada.written(thread, "bad again"),
    )
    assert answer["data"]["addComment"] == {"comment": None, "thread": {"commentCount": 3}}
    assert "The change was made" in answer["errors"][0]["message"]
