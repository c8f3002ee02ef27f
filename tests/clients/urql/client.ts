// urql with its normalised cache: pages merge, and documents are sent by their hash.
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { persistedExchange } from "@urql/exchange-persisted";
import type { IntrospectionQuery } from "graphql";
import { COMMENTS } from "../documents.js";
import type { AddCommentMutation, AddCommentMutationVariables } from "../generated/graphql.js";
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
          Query: { threads: relayPagination(), moderationQueue: relayPagination() },
          Thread: { comments: relayPagination() },
          Comment: { replies: relayPagination() },
        },
        // Objects that have no id belong to the object that has them.
        keys: {
          CommentSurroundings: () => null,
          Limits: () => null,
          ReactionGroup: () => null,
          ReactionKind: () => null,
          Reactor: () => null,
          Revision: () => null,
          Target: () => null,
          TargetCounts: () => null,
          UserError: () => null,
          UserErrorParams: () => null,
          WithdrawnText: () => null,
          // There is one viewer, so that of a mutation's payload is the one of queries.
          Viewer: () => "viewer",
        },
        updates: {
          Mutation: {
            // Add a new comment to its thread's lists, oldest first, if their last page is there.
            addComment(
              { addComment }: AddCommentMutation,
              { input: { threadId: id } }: AddCommentMutationVariables,
              cache,
            ) {
              const edge = addComment?.commentEdge;
              if (!edge) return;
              for (const field of cache.inspectFields({ __typename: "Thread", id })) {
                if (field.fieldName !== "comments") continue;
                const variables = { id, ...field.arguments };
                cache.updateQuery({ query: COMMENTS, variables }, (data) => {
                  const page = data?.thread?.comments;
                  if (page && !page.pageInfo.hasNextPage) page.edges.push(edge);
                  return data;
                });
              }
            },
          },
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
