import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchQuery, graphql } from "relay-runtime";
import type { allowlistQuery } from "./__generated__/allowlistQuery.graphql";
import { createEnvironment } from "./environment";

const url = process.env["TALLIED_URL"] ?? assert.fail("TALLIED_URL names no server");
const title = process.env["TALLIED_TITLE"] ?? assert.fail("TALLIED_TITLE names no thread");

const QUERY = graphql`
  query allowlistQuery($title: String!) {
    threads(first: 1, filterBy: { titleContains: $title }) {
      nodes {
        title
      }
    }
  }
`;

async function send(body: object) {
  const headers = {
    "content-type": "application/json",
    accept: "application/graphql-response+json",
  };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, answer: await response.json() };
}

test("what the compiler has listed runs", async () => {
  const data = await fetchQuery<allowlistQuery>(createEnvironment(url), QUERY, { title }).toPromise();
  assert.deepEqual(data?.threads?.nodes, [{ title }]);
});

test("nothing else runs", async () => {
  const { status, answer } = await send({ query: "{ threads(first: 1) { totalCount } }" });
  assert.ok(status >= 400 && status < 500);
  assert.equal(answer.data, undefined);
  assert.match(answer.errors[0].extensions.code, /^[A-Z_]+$/);
});

test("no id that is not listed runs", async () => {
  const { status, answer } = await send({ documentId: `sha256:${"0".repeat(64)}` });
  assert.ok(status >= 400 && status < 500);
  assert.equal(answer.errors[0].extensions.code, "PERSISTED_QUERY_NOT_FOUND");
});
