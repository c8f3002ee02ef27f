import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { CombinedGraphQLErrors } from "@apollo/client";
import {
  ADD_COMMENT,
  COMMENTS,
  HEADER,
  LIMITS,
  REACT,
  REACTIONS,
  THREADS,
  WITHDRAW,
} from "../documents.js";
import type { AddCommentMutation } from "../generated/graphql.js";
import {
  discussion,
  holdingFetch,
  numbered,
  recordingFetch,
  threads,
  token,
  url,
  withoutAnswer,
} from "../support.js";
import { withToken } from "../token.js";
import { appendComment, createClient } from "./client.js";

/** A query that is watched, as a component does; `shown(n)` is it once n comments are in it. */
function watch(
  id: string,
  page: { first: number } | { last: number },
  client = createClient(url),
) {
  const query = client.watchQuery({ query: COMMENTS, variables: { id, ...page } });
  const bell = new EventEmitter();
  const subscription = query.subscribe(() => bell.emit("changed"));
  const shown = async (count: number) => {
    for (;;) {
      const comments = query.getCurrentResult().data?.thread?.comments;
      const messages = comments?.edges?.map((edge) => edge?.node?.message);
      if (comments?.pageInfo && messages?.length === count) {
        return { pageInfo: comments.pageInfo, messages };
      }
      await once(bell, "changed");
    }
  };
  return { query, shown, stop: () => subscription.unsubscribe() };
}

test("query with variables", async () => {
  const id = await discussion(2);
  const { data } = await createClient(url).query({ query: COMMENTS, variables: { id, first: 5 } });
  assert.equal(data?.thread?.id, id);
  assert.equal(data.thread.commentCount, 2);
  assert.equal(data.thread.comments.totalCount, 2);
  assert.deepEqual(data.thread.comments.edges.map((edge) => edge.node.message), numbered(1, 2));
  assert.ok(!Number.isNaN(Date.parse(data.thread.comments.edges[0]!.node.createdAt)));
});

test("a record that is not there is null", async () => {
  const id = await discussion(1);
  const gone = id.slice(0, -6) + (id.endsWith("AAAAAA") ? "AAAAAQ" : "AAAAAA");
  const client = createClient(url);
  const found = await client.query({ query: COMMENTS, variables: { id: gone, first: 1 } }).catch(
    (error: unknown) => error,
  );
  // A made-up id is either one of nothing, or not one at all: never another's thread.
  if (CombinedGraphQLErrors.is(found)) {
    assert.equal(found.errors[0]!.extensions?.["code"], "BAD_USER_INPUT");
  } else {
    assert.equal((found as { data: { thread: unknown } }).data.thread, null);
  }
});

test("mutation", async () => {
  const id = await discussion(1);
  const client = createClient(url);
  const variables = { id, first: 5 };
  await client.query({ query: COMMENTS, variables });
  const input = { threadId: id, authorName: "Grace", message: "three more words" };
  const { data } = await client.mutate({ mutation: ADD_COMMENT, variables: { input } });
  assert.deepEqual(data?.addComment?.userErrors, []);
  assert.equal(data.addComment.commentEdge?.node.wordCount, 3);
  // The payload brings the thread's counters up to date in the cache, wherever they are shown.
  const cached = client.readQuery({ query: COMMENTS, variables });
  assert.equal(cached?.thread?.commentCount, 2);
  assert.equal(cached.thread.wordCount, 5);
});

test("a viewer's comment is in the list at once, and in the viewer's numbers", async () => {
  const id = await discussion(1);
  const client = createClient(url, { fetch: withToken(token) });
  const { shown, stop } = watch(id, { first: 5 }, client);
  await shown(1);
  const { data } = await client.query({ query: HEADER });
  assert.deepEqual([data?.viewer?.name, data?.viewer?.author], ["Ada", null]);
  const message = "three more words";
  const mutation = client.mutate({
    mutation: ADD_COMMENT,
    variables: { input: { threadId: id, message } },
    update: appendComment,
    optimisticResponse: {
      addComment: {
        __typename: "AddCommentPayload",
        commentEdge: {
          __typename: "CommentEdge",
          cursor: "",
          node: {
            __typename: "Comment",
            id: "optimistic",
            message,
            createdAt: new Date().toISOString(),
            wordCount: 3,
          },
        },
        thread: { __typename: "Thread", id, commentCount: 2, wordCount: 5 },
        viewer: null,
        userErrors: [],
      },
    } as AddCommentMutation,
  });
  assert.deepEqual((await shown(2)).messages, ["number 1", message]);
  assert.equal(client.readQuery({ query: HEADER })?.viewer?.author, null);
  await mutation;
  assert.deepEqual((await shown(2)).messages, ["number 1", message]);
  const author = client.readQuery({ query: HEADER })?.viewer?.author;
  assert.deepEqual([author?.commentCount, author?.wordCount], [1, 3]);
  stop();
});

test("objects without an id are kept without a warning", async () => {
  const client = createClient(url, { fetch: withToken(token) });
  const page = { id: await discussion(1), first: 1 };
  const list = await client.query({ query: COMMENTS, variables: page });
  const variables = { id: list.data?.thread?.comments.edges[0]?.node.id ?? "" };
  await client.query({ query: REACTIONS, variables });
  const input = { commentId: variables.id, kind: "like" };
  const counts = () => client.readQuery({ query: REACTIONS, variables })?.comment?.reactionGroups.length;
  await client.mutate({ mutation: REACT, variables: { input } });
  assert.equal(counts(), 1);
  await client.mutate({ mutation: WITHDRAW, variables: { input } });
  await client.query({ query: LIMITS });
  assert.equal(counts(), 0);
});

test("pagination forwards", async () => {
  const { query, shown, stop } = watch(await discussion(7), { first: 3 });
  let page = await shown(3);
  assert.deepEqual(page.messages, numbered(1, 3));
  for (const last of [6, 7]) {
    assert.equal(page.pageInfo.hasNextPage, true);
    await query.fetchMore({ variables: { after: page.pageInfo.endCursor } });
    page = await shown(last);
    assert.deepEqual(page.messages, numbered(1, last));
  }
  assert.equal(page.pageInfo.hasNextPage, false);
  stop();
});

test("pagination backwards", async () => {
  const { query, shown, stop } = watch(await discussion(7), { last: 3 });
  let page = await shown(3);
  assert.deepEqual(page.messages, numbered(5, 7));
  for (const first of [2, 1]) {
    assert.equal(page.pageInfo.hasPreviousPage, true);
    await query.fetchMore({ variables: { before: page.pageInfo.startCursor } });
    page = await shown(8 - first);
    assert.deepEqual(page.messages, numbered(first, 7));
  }
  assert.equal(page.pageInfo.hasPreviousPage, false);
  stop();
});

/** Add a comment to a thread, and to its lists in the cache. */
const append = (client: ReturnType<typeof createClient>, threadId: string, message: string) =>
  client.mutate({
    mutation: ADD_COMMENT,
    variables: { input: { threadId, authorName: "Grace", message } },
    update: appendComment,
  });

test("an appended comment stays at the end while more pages load", async () => {
  const [id, client] = [await discussion(7), createClient(url)];
  const { query, shown, stop } = watch(id, { first: 3 }, client);
  let page = await shown(3);
  await append(client, id, "mine");
  assert.deepEqual((await shown(4)).messages, [...numbered(1, 3), "mine"]);
  for (const last of [6, 7]) {
    await query.fetchMore({ variables: { after: page.pageInfo.endCursor } });
    page = await shown(last + 1);
    assert.deepEqual(page.messages, [...numbered(1, last), "mine"]);
  }
  stop();
});

test("a page that was read before a comment was appended does not remove it", async () => {
  const id = await discussion(4);
  const { fetch, answered, release } = holdingFetch('"after":');
  const client = createClient(url, { fetch });
  const { query, shown, stop } = watch(id, { first: 3 }, client);
  const { pageInfo } = await shown(3);
  const more = query.fetchMore({ variables: { after: pageInfo.endCursor } });
  await answered;
  await append(client, id, "mine");
  release();
  await more;
  assert.deepEqual((await shown(5)).messages, [...numbered(1, 4), "mine"]);
  stop();
});

test("a comment that a page has brought before its mutation is there once", async () => {
  const id = await discussion(4);
  const { fetch, answered, release } = holdingFetch("mine");
  const client = createClient(url, { fetch });
  const { query, shown, stop } = watch(id, { first: 3 }, client);
  const { pageInfo } = await shown(3);
  const mutation = append(client, id, "mine");
  await answered;
  await query.fetchMore({ variables: { after: pageInfo.endCursor } });
  release();
  await mutation;
  assert.deepEqual((await shown(5)).messages, [...numbered(1, 4), "mine"]);
  stop();
});

test("lists in another order, or filtered otherwise, are other lists", async () => {
  const client = createClient(url);
  const [few, many] = [await threads(2), await threads(5)];
  const titles = async (titleContains: string, direction: "ASC" | "DESC", after?: string | null) => {
    const variables = { titleContains, direction, first: 3, after };
    // What is asked for after a cursor is in the cache's list only once it has been fetched.
    const fetchPolicy = after ? "network-only" : "cache-first";
    const { data } = await client.query({ query: THREADS, variables, fetchPolicy });
    const { edges, pageInfo } = data?.threads ?? assert.fail("there is no answer");
    return { ends: edges.map((edge) => edge.node.title.slice(-1)).join(""), pageInfo };
  };
  const { ends, pageInfo } = await titles(many, "ASC");
  assert.equal(ends, "123");
  assert.equal((await titles(many, "DESC")).ends, "543");
  assert.equal((await titles(few, "ASC")).ends, "12");
  // The second page is added to the first of its own list.
  assert.equal((await titles(many, "ASC", pageInfo.endCursor)).ends, "12345");
  assert.equal((await titles(many, "DESC")).ends, "543");
});

test("userErrors", async () => {
  const id = await discussion(1);
  const input = { threadId: id, authorName: "Grace", message: " " };
  const { data, error } = await createClient(url).mutate({
    mutation: ADD_COMMENT,
    variables: { input },
  });
  assert.equal(error, undefined);
  assert.equal(data?.addComment?.commentEdge, null);
  const [told, ...others] = data.addComment.userErrors;
  assert.deepEqual(others, []);
  assert.match(told!.message, /write 1 to/);
  assert.match(String(told!.field), /message/);
});

test("top-level errors", async () => {
  await assert.rejects(
    createClient(url).query({ query: COMMENTS, variables: { id: "nonsense", first: 1 } }),
    (error) =>
      CombinedGraphQLErrors.is(error) &&
      error.errors[0]?.extensions?.["code"] === "BAD_USER_INPUT",
  );
});

test("a network error", async () => {
  const error = await withoutAnswer((nowhere) =>
    createClient(nowhere)
      .query({ query: COMMENTS, variables: { id: "any", first: 1 } })
      .then(
        () => assert.fail("nobody was there to answer"),
        (error: unknown) => error,
      ),
  );
  assert.ok(error instanceof TypeError && !CombinedGraphQLErrors.is(error));
});

test("an APQ round trip", async () => {
  const id = await discussion(1);
  const { sent, fetch } = recordingFetch();
  const client = createClient(url, { fetch });
  const ask = () =>
    client.query({ query: COMMENTS, variables: { id, first: 9 }, fetchPolicy: "network-only" });
  for (let round = 0; round < 2; round++) {
    assert.deepEqual((await ask()).data?.thread?.commentCount, 1);
  }
  // The other programs may have brought the document in already: the last one never sends it.
  assert.ok(sent.every((request) => request.extensions.persistedQuery?.sha256Hash.length === 64));
  assert.deepEqual([sent.at(-1)?.hasDocument, sent.at(-1)?.method], [false, "GET"]);
});

test("an APQ document that the server has not met", async () => {
  const { sent, fetch } = recordingFetch();
  const client = createClient(url, { fetch });
  const { gql } = await import("@apollo/client");
  const query = gql(`query Unmet${Date.now()} { threads(first: 1) { totalCount } }`);
  for (let round = 0; round < 2; round++) {
    const { data } = await client.query<{ threads: { totalCount: number } }>({
      query,
      fetchPolicy: "network-only",
    });
    assert.ok(data && data.threads.totalCount > 0);
  }
  assert.deepEqual(
    sent.map((request) => request.hasDocument),
    [false, true, false],
  );
});
