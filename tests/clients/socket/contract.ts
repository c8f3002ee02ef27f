import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Client } from "graphql-ws";
import { discussion, numbered, url } from "../support.js";
import { createClient } from "./client.js";

const COMMENTS = `query ($id: ID!, $first: Int!) {
  thread(id: $id) { commentCount comments(first: $first) { nodes { message } } }
}`;
const ADD = `mutation ($input: AddCommentInput!) {
  addComment(input: $input) {
    comment { message wordCount }
    userErrors { field code }
  }
}`;
const WHO = "{ viewer { name } }";

/** What an operation comes to: one answer, and then its end. */
async function ask(client: Client, query: string, variables = {}): Promise<any> {
  const answers: unknown[] = [];
  for await (const answer of client.iterate({ query, variables })) answers.push(answer);
  assert.equal(answers.length, 1);
  return answers[0];
}

function token(name: string): string {
  return process.env[name] ?? assert.fail(`${name} is not set`);
}

test("query with variables", async () => {
  const id = await discussion(3);
  const client = createClient(url, () => undefined);
  const { data } = await ask(client, COMMENTS, { id, first: 2 });
  assert.equal(data.thread.commentCount, 3);
  const messages = data.thread.comments.nodes.map((node: { message: string }) => node.message);
  assert.deepEqual(messages, numbered(1, 2));
  await client.dispose();
});

test("mutation", async () => {
  const threadId = await discussion(0);
  const client = createClient(url, () => undefined);
  const input = { threadId, authorName: "Grace", message: "three more words" };
  const { data } = await ask(client, ADD, { input });
  assert.deepEqual(data.addComment.comment, { message: input.message, wordCount: 3 });
  const blank = await ask(client, ADD, { input: { ...input, message: " " } });
  assert.deepEqual(blank.data.addComment.userErrors, [{ field: "message", code: "BLANK" }]);
  await client.dispose();
});

test("top-level errors", async () => {
  const client = createClient(url, () => undefined);
  await assert.rejects(ask(client, "{ nope }"), ([error]: any) => {
    assert.equal(error.extensions.code, "GRAPHQL_VALIDATION_FAILED");
    return true;
  });
  assert.deepEqual((await ask(client, "{ __typename }")).data, { __typename: "Query" });
  await client.dispose();
});

test("a token that is refused", async () => {
  const client = createClient(url, () => "x.y.z");
  const closed = new Promise<any>((resolve) => client.on("closed", resolve));
  const asked = ask(client, WHO).catch(() => {});
  const { code, reason } = await closed;
  assert.deepEqual([code, reason], [4403, "The token cannot be read; send it as it was given out."]);
  await client.terminate();
  await client.dispose();
  void asked;
});

test("a token that expires is replaced, and nobody notices", async () => {
  const tokens = [token("TALLIED_SHORT_TOKEN"), token("TALLIED_TOKEN")];
  const client = createClient(url, () => tokens.shift());
  const codes: number[] = [];
  client.on("closed", (event: any) => codes.push(event.code));
  assert.deepEqual((await ask(client, WHO)).data, { viewer: { name: "Ada" } });
  await setTimeout(Number(process.env["TALLIED_SHORT_TIME"]));
  assert.deepEqual((await ask(client, WHO)).data, { viewer: { name: "Ada" } });
  assert.deepEqual([codes, tokens.length], [[4403], 0]);
  await client.dispose();
});
