// urql with its normalised cache, which merges pages.
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import type { IntrospectionQuery } from "graphql";

// The schema is what the server has at /introspection.json, and the wheel beside schema.graphql.
export function createClient(url: string, schema: IntrospectionQuery, fetch = globalThis.fetch) {
  return new Client({
    url,
    fetch,
    exchanges: [
      cacheExchange({
        schema,
        resolvers: {
          Query: { threads: relayPagination() },
          Thread: { comments: relayPagination() },
        },
        // Things that have no id belong to what holds them.
        keys: { UserError: () => null },
      }),
      fetchExchange,
    ],
  });
}
