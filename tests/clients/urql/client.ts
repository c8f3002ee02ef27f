// urql with its normalised cache: pages merge, and documents are sent by their hash.
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { persistedExchange } from "@urql/exchange-persisted";
import type { IntrospectionQuery } from "graphql";
import { sha256 } from "../sha256.js";

// The schema is what the server has at /introspection.json, and what print-schema prints as JSON.
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
        keys: {
          Limits: () => null,
          Target: () => null,
          UserError: () => null,
          UserErrorParams: () => null,
          Viewer: () => null,
        },
      }),
      persistedExchange({
        preferGetForPersistedQueries: true,
        generateHash: async (query) => sha256(query),
      }),
      fetchExchange,
    ],
  });
}
