import assert from "node:assert/strict";
import { test } from "node:test";
import { gql, type OperationResult } from "@urql/core";
import type { IntrospectionQuery } from "graphql";
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
import type { CommentsQuery } from "../generated/graphql.js";
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
import { createClient } from "./client.js";

const schema: IntrospectionQuery = await (await fetch(new URL("/introspection.json", url))).json();

function comments({ data, error }: OperationResult<CommentsQuery>) {
  assert.equal(error, undefined);
  const thread = data?.thread ?? assert.fail("there is no thread");
  return { ...thread.comments, messages: thread.comments.edges.map((edge) => edge.node.message) };
}

test("query with variables", async () => {
  const id = await discussion(2);
  const result = await createClient(url, schema).query(COMMENTS, { id, first: 5 }).toPromise();
  assert.deepEqual(comments(result).messages, numbered(1, 2));
  assert.equal(result.data?.thread?.commentCount, 2);
});

test("mutation", async () => {
  const id = await discussion(1);
  const client = createClient(url, schema);
  await client.query(COMMENTS, { id, first: 5 }).toPromise();
  const input = { threadId: id, authorName: "Grace", message: "three more words" };
  const { data, error } = await client.mutation(ADD_COMMENT, { input }).toPromise();
  assert.equal(error, undefined);
  assert.deepEqual(data?.addComment?.userErrors, []);
  assert.equal(data.addComment.commentEdge?.node.wordCount, 3);
  // The payload brings the thread's counters up to date in the cache, wherever they are shown.
  const cached = client.readQuery(COMMENTS, { id, first: 5 });
  assert.equal(cached?.data?.thread?.commentCount, 2);
  assert.equal(cached.data.thread.wordCount, 5);
});

test("a viewer's comment is in the list, and in the viewer's numbers", async () => {
  const id = await discussion(2);
  const client = createClient(url, schema, withToken(token));
  const list = { id, first: 1 };
  const page = comments(await client.query(COMMENTS, list).toPromise());
  await client.query(COMMENTS, { ...list, after: page.pageInfo.endCursor }).toPromise();
  const { data } = await client.query(HEADER, {}).toPromise();
  assert.deepEqual([data?.viewer?.name, data?.viewer?.author], ["Ada", null]);
  const input = { threadId: id, message: "three more words" };
  await client.mutation(ADD_COMMENT, { input }).toPromise();
  const cached = client.readQuery(COMMENTS, list) ?? assert.fail("the list is not there");
  assert.deepEqual(comments(cached).messages, ["number 1", "number 2", "three more words"]);
  const author = client.readQuery(HEADER, {})?.data?.viewer?.author;
  assert.deepEqual([author?.commentCount, author?.wordCount], [1, 3]);
});

test("a comment that a page has brought before its mutation is there once", async () => {
  const id = await discussion(1);
  const { fetch, answered, release } = holdingFetch("mine");
  const client = createClient(url, schema, fetch);
  const list = { id, first: 5 };
  await client.query(COMMENTS, list).toPromise();
  const input = { threadId: id, authorName: "Grace", message: "mine" };
  const mutation = client.mutation(ADD_COMMENT, { input }).toPromise();
  await answered;
  await client.query(COMMENTS, list, { requestPolicy: "network-only" }).toPromise();
  release();
  await mutation;
  const cached = client.readQuery(COMMENTS, list) ?? assert.fail("the list is not there");
  assert.deepEqual(comments(cached).messages, ["number 1", "mine"]);
});

test("objects without an id are kept without a warning", async () => {
  const client = createClient(url, schema, withToken(token));
  const list = await client.query(COMMENTS, { id: await discussion(1), first: 1 }).toPromise();
  const variables = { id: list.data?.thread?.comments.edges[0]?.node.id ?? "" };
  await client.query(REACTIONS, variables).toPromise();
  const input = { commentId: variables.id, kind: "like" };
  const counts = () => client.readQuery(REACTIONS, variables)?.data?.comment?.reactionGroups.length;
  await client.mutation(REACT, { input }).toPromise();
  assert.equal(counts(), 1);
  await client.mutation(WITHDRAW, { input }).toPromise();
  await client.query(LIMITS, {}).toPromise();
  assert.equal(counts(), 0);
});

test("pagination forwards", async () => {
  const id = await discussion(7);
  const client = createClient(url, schema);
  let page = comments(await client.query(COMMENTS, { id, first: 3 }).toPromise());
  assert.deepEqual(page.messages, numbered(1, 3));
  for (const last of [6, 7]) {
    assert.equal(page.pageInfo.hasNextPage, true);
    const after = page.pageInfo.endCursor;
    page = comments(await client.query(COMMENTS, { id, first: 3, after }).toPromise());
    assert.deepEqual(page.messages, numbered(1, last));
  }
  assert.equal(page.pageInfo.hasNextPage, false);
});

test("pagination backwards", async () => {
  const id = await discussion(7);
  const client = createClient(url, schema);
  let page = comments(await client.query(COMMENTS, { id, last: 3 }).toPromise());
  assert.deepEqual(page.messages, numbered(5, 7));
  for (const first of [2, 1]) {
    assert.equal(page.pageInfo.hasPreviousPage, true);
    const before = page.pageInfo.startCursor;
    page = comments(await client.query(COMMENTS, { id, last: 3, before }).toPromise());
    assert.deepEqual(page.messages, numbered(first, 7));
  }
  assert.equal(page.pageInfo.hasPreviousPage, false);
});

test("lists in another order, or filtered otherwise, are other lists", async () => {
  const client = createClient(url, schema);
  const [few, many] = [await threads(2), await threads(5)];
  const titles = async (titleContains: string, direction: "ASC" | "DESC", after?: string | null) => {
    const variables = { titleContains, direction, first: 3, after };
    const { data } = await client.query(THREADS, variables).toPromise();
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
  const client = createClient(url, schema);
  const { data, error } = await client.mutation(ADD_COMMENT, { input }).toPromise();
  assert.equal(error, undefined);
  assert.equal(data?.addComment?.commentEdge, null);
  const [told, ...others] = data.addComment.userErrors;
  assert.deepEqual(others, []);
  assert.match(told!.message, /write 1 to/);
  assert.match(String(told!.field), /message/);
});

test("top-level errors", async () => {
  const client = createClient(url, schema);
  const { error } = await client.query(COMMENTS, { id: "nonsense", first: 1 }).toPromise();
  assert.equal(error?.networkError, undefined);
  assert.equal(error?.graphQLErrors[0]?.extensions["code"], "BAD_USER_INPUT");
});

test("a network error", async () => {
  const error = await withoutAnswer(async (nowhere) => {
    const client = createClient(nowhere, schema);
    return (await client.query(COMMENTS, { id: "any", first: 1 }).toPromise()).error;
  });
  assert.ok(error?.networkError);
  assert.deepEqual(error.graphQLErrors, []);
});

test("an APQ round trip", async () => {
  const { sent, fetch } = recordingFetch();
  const client = createClient(url, schema, fetch);
  await discussion(1);
  const query = gql(`query Unmet${Date.now()} { threads(first: 1) { totalCount } }`);
  for (let round = 0; round < 2; round++) {
    const context = { requestPolicy: "network-only" as const };
    const { data, error } = await client.query(query, {}, context).toPromise();
    assert.equal(error, undefined);
    assert.ok(data.threads.totalCount > 0);
  }
  assert.deepEqual(
    sent.map((request) => request.hasDocument),
    [false, true, false],
  );
  assert.equal(sent.at(-1)?.method, "GET");
});
