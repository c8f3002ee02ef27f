"""The example host: its pages, sign-in, GraphQL schema and permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from support.press import PASSWORD, Press, comment_ids
from support.sockets import PROTOCOL, Serving, opened
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from magazine import threads
from tallied.error_codes import make_extensions

ADD = """mutation($i: AddCommentInput!) { addComment(input: $i) {
           comment { authorName messageHtml viewerCanDelete } thread { commentCount }
           userErrors { code message } } }"""
ARTICLE = """query($id: ID!) { article(id: $id) { headline author commentCount
               thread { title commentCount viewerCanComment viewerCanLock
                 comments(first: 9) { nodes { message authorName viewerCanDelete } } } } }"""


@pytest.fixture
async def press(with_tables: None, empty_url: str) -> AsyncIterator[Press]:
    async with Press(empty_url) as press:
        yield press


async def test_page_shows_comments_of_form_and_graphql(press: Press) -> None:
    id = await press.article()
    ben = await press.browser("ben")
    done = await ben.comment(id, "Is it *salt*?\r\n<script>alert(1)</script>")
    assert done.status_code == 303
    thread = await press.thread_id(id)
    answer = await ben.ask(ADD, i={"threadId": thread, "message": "Or is it **sugar**?"})
    assert answer["data"]["addComment"]["userErrors"] == []
    assert answer["data"]["addComment"]["comment"]["authorName"] == "ben"
    assert answer["data"]["addComment"]["thread"] == {"commentCount": 2}

    page = await press.guest().see(f"/articles/{id}")
    assert page.css_first("#discussion h2").text() == "2 comments"
    newer, older = page.css("article.tallied-comment")
    assert older.attributes["id"] == done.headers["location"].partition("#")[2]
    assert older.css_first(".tallied-message em").text() == "salt"
    assert newer.css_first(".tallied-message strong").text() == "sugar"
    assert older.css_first(".tallied-by strong").text() == "ben"
    assert page.css("script") == []
    assert "alert(1)" in older.text()
    front = await press.guest().see("/")
    assert front.css_first(".articles a[href$=discussion]").text() == "2 comments"


async def test_replies_and_reactions_need_no_script(press: Press) -> None:
    id = await press.article()
    ben, ada = await press.browser("ben"), await press.browser("ada")
    first = (await ben.comment(id, "Salt?")).headers["location"].partition("#comment-")[2]
    done = await ada.comment(id, "Yes.", reply_to=first)
    answer = done.headers["location"].partition("#comment-")[2]
    react = f"/discussion/comments/{first}/react"
    done = await ada.submit(f"/articles/{id}", react, kind="like")
    assert done.headers["location"] == f"/articles/{id}#comment-{first}"

    page = await ben.see(f"/articles/{id}")
    (reply,) = page.css(".tallied-replies article")
    assert reply.attributes["id"] == f"comment-{answer}"
    assert reply.css_first(".tallied-message").text().strip() == "Yes."
    liked_by_others = page.css_first(f"#comment-{first} button[value=like]")
    assert (liked_by_others.text(), liked_by_others.attributes["aria-pressed"]) == ("👍 1", "false")
    guest = press.guest()
    page = await guest.see(f"/discussion/comments/{answer}")
    assert page.css_first(f"#comment-{first} .tallied-message").text().strip() == "Salt?"
    assert page.css_first(f".tallied-replies #comment-{answer}") is not None
    assert page.css("form[action$=react], form[action$=comments]") == []
    assert "👍 1" in page.css_first(f"#comment-{first}").text()
    done = await ada.submit(f"/articles/{id}", react, kind="like")
    assert "👍 1" not in (await guest.see(f"/discussion/comments/{first}")).text()
    assert (await ben.comment(id, "No", reply_to="x")).status_code == 400
    leads = await guest.http.get(f"/discussion/threads/{await press.thread_of(id)}")
    assert leads.headers["location"] == f"/articles/{id}#discussion"


@pytest.mark.slow
async def test_one_document_queries_both_schemas(press: Press) -> None:
    ids = [await press.article(headline) for headline in ("Salt", "Sand", "Silt")]
    ben = await press.browser("ben")
    for id in (ids[0], ids[0], ids[2]):
        await ben.comment(id, f"On {id}, {len(await ben.messages(id))}.")
    query = """{ viewer { name } articles(first: 9) { id headline commentCount
        thread { title comments(last: 1) { totalCount nodes { message author { name } } } } } }"""
    answer = await ben.ask(query)
    assert answer["data"]["viewer"] == {"name": "ben"}
    # 9 articles, each with its thread, that with one comment, and that with its author.
    assert answer["extensions"]["cost"]["nodes"] == 9 * (1 + 1 + 1 + 1)
    listed = answer["data"]["articles"]
    assert [item["headline"] for item in listed] == ["Silt", "Sand", "Salt"]
    assert [item["commentCount"] for item in listed] == [1, 0, 2]
    for item in listed:
        assert item["thread"]["title"] == item["headline"]
        assert item["thread"]["comments"]["totalCount"] == item["commentCount"]
    latest = listed[2]["thread"]["comments"]["nodes"]
    assert latest == [{"message": f"On {ids[0]}, 1.", "author": {"name": "ben"}}]


async def test_bad_id_is_client_error(press: Press) -> None:
    guest = press.guest()
    for id in ("x", "0x1", "-1", "99999999999999999999", "2147483648"):
        answer = await guest.ask(ARTICLE, id=id)
        (error,) = answer["errors"]
        assert error["extensions"] == make_extensions("BAD_USER_INPUT", {"field": "id"})
        page = await guest.see(f"/articles/{id}", 404)
        assert page.css_first(".problem").text() == "There is no such page."
    answer = await guest.ask("{ articles(first: 101) { id } }")
    assert answer["errors"][0]["message"] == "first must be from 0 to 100."
    assert "There is no such article" in (await guest.see("/articles/7", 404)).body.text()


async def test_rejected_comment_is_shown_with_error(press: Press) -> None:
    id = await press.article()
    ben = await press.browser("ben")
    refused = await ben.comment(id, " \n")
    assert refused.status_code == 422
    assert "This is empty; write 1 to 10000 characters." in refused.text
    await ben.comment(id, "Once.")
    twice = await ben.comment(id, "Once.")
    assert twice.status_code == 422
    assert "message is what you have just said" in twice.text
    assert "Once.</textarea>" in twice.text
    assert await ben.messages(id) == ["Once."]


async def test_form_of_foreign_page_is_refused(press: Press) -> None:
    id = await press.article()
    ben, ada = await press.browser("ben"), await press.browser("ada")
    page = await ada.see(f"/articles/{id}")
    foreign = page.css_first("form[action$='/comments'] input[name=csrf]").attributes["value"]
    path = f"/discussion/threads/{await press.thread_of(id)}/comments"
    for data in ({}, {"csrf": ""}, {"csrf": foreign}, {"csrf": "é"}):
        answer = await ben.http.post(path, data={"message": "Forged."} | data)
        assert answer.status_code == 403
    files = {"message": ("a.txt", b"Forged.")}
    assert (await ben.http.post(path, files=files)).status_code in (400, 403)
    form = {"content-type": "application/x-www-form-urlencoded"}
    too_long = await ben.http.post(path, content=b"a" * 500_001, headers=form)
    assert too_long.status_code == 413
    foreign = await ben.http.post("/graphql", content='{"query": "{ __typename }"}', headers=form)
    assert foreign.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert (await press.numbers())[id] == (0, 0)


async def test_signing_out_ends_every_session(press: Press) -> None:
    ben = await press.browser("ben")
    copied = press.guest()
    copied.http.cookies = httpx.Cookies(ben.http.cookies)
    assert (await copied.see("/")).css_first("form[action='/logout']") is not None
    done = await ben.submit("/", "/logout")
    assert done.status_code == 303
    for browser in (ben, copied):
        assert (await browser.see("/")).css_first("form[action='/logout']") is None
        assert (await browser.ask("{ viewer { name } }"))["data"] == {"viewer": None}


async def test_socket_follows_sign_in_and_sign_out(press: Press) -> None:
    id = await press.article()
    thread = await press.thread_id(id)
    ben = await press.browser("ben")
    cookie = "; ".join(f"{item.name}={item.value}" for item in ben.http.cookies.jar)
    async with Serving(press.app, press.discussion.settings) as server:
        url = f"ws://{server.host}/graphql"
        headers = {"cookie": cookie, "origin": f"http://{server.host}"}
        async with opened(url, additional_headers=headers) as socket:
            added = await socket(ADD, i={"threadId": thread, "message": "Is it salt?"})
            assert added["userErrors"] == []
            assert added["comment"]["authorName"] == "ben"
            assert (await socket(ARTICLE, id=id))["commentCount"] == 1
            await ben.submit("/", "/logout")
            assert await socket("{ viewer { name } }") is None
        headers["origin"] = "http://evil.example"
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, subprotocols=[PROTOCOL], additional_headers=headers, proxy=None)
    assert (await press.numbers())[id] == (1, 1)


async def test_wrong_name_or_password_is_refused(press: Press) -> None:
    guest = press.guest()
    for name, password in (("ben", "wrong"), ("nobody", PASSWORD), ("", "")):
        answer = await guest.submit("/login", "/login", name=name, password=password)
        assert answer.status_code == 422
        assert "nobody with this name and this password" in answer.text
        assert (await guest.ask("{ viewer { name } }"))["data"] == {"viewer": None}


async def test_sign_in_redirects_within_magazine(press: Press) -> None:
    guest = press.guest()
    for next, leads in (
        ("/articles/7", "/articles/7"),
        ("//evil.test", "/"),
        ("https://evil.test", "/"),
        ("/\\evil.test", "/"),
        ("/a\r\nSet-Cookie: b", "/"),
        ("", "/"),
    ):
        answer = await guest.submit("/login", "/login", name="ben", password=PASSWORD, next=next)
        assert (answer.status_code, answer.headers["location"]) == (303, leads)


async def test_guests_are_asked_to_sign_in(press: Press) -> None:
    id = await press.article()
    guest = press.guest()
    page = await guest.see(f"/articles/{id}")
    assert page.css_first("form") is None
    token = (await guest.see("/login")).css_first("input[name=csrf]").attributes["value"]
    for path in ("/write", f"/articles/{id}/delete"):
        data = {"csrf": token, "message": "Me!", "headline": "Me!", "body": "Me!"}
        answer = await guest.http.post(path, data=data)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
    path = f"/discussion/threads/{await press.thread_of(id)}/comments"
    answer = await guest.http.post(path, data={"csrf": token, "message": "My long text."})
    assert (answer.status_code, "My long text." in answer.text) == (401, True)
    refused = await guest.ask(ADD, i={"threadId": await press.thread_id(id), "message": "Me!"})
    assert refused["data"]["addComment"]["userErrors"][0]["code"] == "SIGN_IN_REQUIRED"
    assert await press.numbers() == {id: (0, 0)}


@pytest.mark.slow
async def test_draft_is_for_its_author_and_editors(press: Press) -> None:
    id = await press.article()
    ben, ada = await press.browser("ben"), await press.browser("ada")
    await press.add("eve", is_editor=True)
    eve = await press.browser("eve")
    await ben.comment(id, "Before it was withdrawn.")
    thread = await press.thread_id(id)
    assert (await ada.submit(f"/articles/{id}", f"/articles/{id}/withdraw")).status_code == 303
    lists = "query($id: ID!) { thread(id: $id) { title } threads(first: 9) { totalCount } }"
    for browser in (ben, press.guest()):
        await browser.see(f"/articles/{id}", 404)
        assert "Salt" not in (await browser.see("/")).body.text()
        assert (await browser.ask(ARTICLE, id=str(id)))["data"] == {"article": None}
        hidden = (await browser.ask(lists, id=thread))["data"]
        assert hidden == {"thread": None, "threads": {"totalCount": 0}}
    reply = await ben.ask(ADD, i={"threadId": thread, "message": "After."})
    assert reply["data"]["addComment"]["userErrors"][0]["code"] == "NOT_FOUND"
    for browser in (ada, eve):
        assert await browser.messages(id) == ["Before it was withdrawn."]
        observed = (await browser.ask(lists, id=thread))["data"]
        assert observed == {"thread": {"title": "Salt"}, "threads": {"totalCount": 1}}
    await ada.submit(f"/articles/{id}", f"/articles/{id}/publish")
    assert await ben.messages(id) == ["Before it was withdrawn."]


@pytest.mark.slow
async def test_author_of_article_moderates_its_comments(press: Press) -> None:
    id = await press.article()
    ben, ada = await press.browser("ben"), await press.browser("ada")
    await ben.comment(id, "Rude.")
    await ada.comment(id, "Please.")
    observed = (await ada.ask(ARTICLE, id=str(id)))["data"]["article"]["thread"]
    assert [item["viewerCanDelete"] for item in observed["comments"]["nodes"]] == [True, True]
    assert observed["viewerCanLock"] is True
    observed = (await ben.ask(ARTICLE, id=str(id)))["data"]["article"]["thread"]
    assert [item["viewerCanDelete"] for item in observed["comments"]["nodes"]] == [True, False]
    assert observed["viewerCanLock"] is False

    page = await ada.see(f"/articles/{id}")
    please, rude = comment_ids(page)
    assert len((await ben.see(f"/articles/{id}")).css("a[href*='/delete']")) == 1
    token = (await ben.see("/")).css_first("input[name=csrf]").attributes["value"]
    refused = await ben.http.post(f"/discussion/comments/{please}/delete", data={"csrf": token})
    assert refused.status_code == 403
    assert "You may not delete this comment." in refused.text
    delete = f"/discussion/comments/{rude}/delete"
    done = await ada.submit(f"{delete}?next=/articles/{id}", delete)
    assert done.headers["location"] == f"/articles/{id}"
    assert await ben.messages(id) == ["Please."]

    lock = f"/discussion/threads/{await press.thread_of(id)}/lock"
    await ada.submit(f"/articles/{id}", lock)
    assert (await ben.see(f"/articles/{id}")).css_first("form[action$=comments]") is None
    late = await ben.ask(ADD, i={"threadId": await press.thread_id(id), "message": "Late."})
    assert late["data"]["addComment"]["userErrors"][0]["code"] == "LOCKED"
    await ada.submit(f"/articles/{id}", lock)
    assert (await ben.comment(id, "In time.")).status_code == 303


async def test_threads_follow_articles(press: Press) -> None:
    id = await press.article()
    ada = await press.browser("ada")
    thread = await press.thread_id(id)
    for name, values in (
        ("createThread", '{title: "Mine"}'),
        ("renameThread", '{threadId: $id, title: "Mine"}'),
        ("deleteThread", "{threadId: $id}"),
    ):
        used = "" if name == "createThread" else "($id: ID!)"
        query = f"mutation{used} {{ {name}(input: {values}) {{ userErrors {{ code }} }} }}"
        refused = await ada.ask(query, id=thread)
        assert refused["data"][name]["userErrors"] == [{"code": "NOT_ALLOWED"}]
    await ada.submit(f"/articles/{id}/revise", f"/articles/{id}/revise", headline="Brine", body="B")
    observed = (await ada.ask(ARTICLE, id=str(id)))["data"]["article"]
    assert (observed["headline"], observed["thread"]["title"]) == ("Brine", "Brine")
    await ada.submit(f"/articles/{id}", f"/articles/{id}/delete")
    deleted = await ada.ask("query($id: ID!) { thread(id: $id) { title } }", id=thread)
    assert deleted["data"] == {"thread": None}


async def test_users_cannot_change_others_comments(press: Press) -> None:
    id = await press.article()
    ben = await press.browser("ben")
    await ben.see(f"/articles/{id}/revise", 404)
    publish = (
        "mutation($id: ID!) { publishArticle(id: $id) {"
        " article { headline } userErrors { code field } } }"
    )
    refused = await ben.ask(publish, id=str(id))
    reason = {"code": "NOT_ALLOWED", "field": None}
    assert refused["data"]["publishArticle"] == {"article": None, "userErrors": [reason]}
    draft = await press.article("Secret", draft=True)
    for missing in (draft, draft + 1):  # which are the same to him
        refused = await ben.ask(publish, id=str(missing))
        reason = {"code": "NOT_FOUND", "field": "id"}
        assert refused["data"]["publishArticle"] == {"article": None, "userErrors": [reason]}
    ada = await press.browser("ada")
    done = await ada.ask(publish, id=str(draft))
    published = {"article": {"headline": "Secret"}, "userErrors": []}
    assert done["data"] == {"publishArticle": published}
    await ben.see(f"/articles/{draft}")


async def test_author_is_notified_of_comments(press: Press) -> None:
    id = await press.article()
    for name, message in (("ben", "Hello."), ("ada", "Hello yourself.")):
        await (await press.browser(name)).comment(id, message)
    assert press.told == [("ada", "Salt", "Hello.")]


async def test_article_is_written_revised_and_published(press: Press) -> None:
    ada = await press.browser("ada")
    refused = await ada.submit("/write", "/write", headline="Sand", body=" ")
    assert refused.status_code == 422
    assert "body: This is empty" in refused.text
    assert 'value="Sand"' in refused.text
    created = await ada.submit("/write", "/write", headline="<b>Sand</b>", body="One.\n\nTwo.")
    path = created.headers["location"]
    page = await ada.see(path)
    assert page.css_first("h1").text() == "<b>Sand</b>"
    assert page.css_first("#discussion") is None
    await ada.submit(path, f"{path}/publish")
    assert (await press.guest().see(path)).css_first("#discussion h2").text() == "0 comments"
    assert await threads.open_discussions(press.discussion) == 0


async def test_error_page_hides_cause(press: Press) -> None:
    transport = httpx.ASGITransport(press.app, raise_app_exceptions=False)
    async with press.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE article RENAME TO lost"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert "Something went wrong here; it has been logged." in answer.text
    assert "article" not in answer.text
