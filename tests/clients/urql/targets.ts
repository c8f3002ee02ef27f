import assert from "node:assert/strict";
import { test } from "node:test";
import type { IntrospectionQuery } from "graphql";
import { ONE_KEY, url } from "../support.js";
import { createClient } from "./client.js";

const schema: IntrospectionQuery = await (await fetch(new URL("/introspection.json", url))).json();

test("two kinds of targets with one key stay apart in the cache", async () => {
  const client = createClient(url, schema);
  for (const requestPolicy of ["network-only", "cache-only"] as const) {
    const { data, error } = await client.query(ONE_KEY, {}, { requestPolicy }).toPromise();
    assert.equal(error, undefined);
    assert.equal(data.photo.target.type, "photo");
    assert.equal(data.article.target.type, "article");
    assert.notEqual(data.photo.id, data.article.id);
  }
});
