import assert from "node:assert/strict";
import { test } from "node:test";
import { gql } from "@apollo/client";
import { ONE_KEY, url } from "../support.js";
import { createClient } from "./client.js";

test("two kinds of targets with one key stay apart in the cache", async () => {
  const client = createClient(url);
  const query = gql(ONE_KEY);
  for (const fetchPolicy of ["network-only", "cache-only"] as const) {
    const { data } = await client.query<any>({ query, fetchPolicy });
    assert.equal(data.photo.target.type, "photo");
    assert.equal(data.article.target.type, "article");
    assert.notEqual(data.photo.id, data.article.id);
  }
});
