// Apollo Client: pages merge as Relay's specification says, documents are sent by their hash.
import {
  ApolloClient,
  ApolloLink,
  HttpLink,
  InMemoryCache,
  type ApolloCache,
  type FieldPolicy,
  type Reference,
} from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { relayStylePagination } from "@apollo/client/utilities";
import type { AddCommentMutation } from "../generated/graphql.js";
import { sha256 } from "../sha256.js";

export function createClient(uri: string, options: HttpLink.Options = {}): ApolloClient {
  return new ApolloClient({
    cache: new InMemoryCache({
      // Every interface and union of the schema, with its types.
      possibleTypes: { Node: ["Author", "Comment", "Thread"] },
      typePolicies: {
        // Lists in another order, or filtered otherwise, are other lists.
        Query: {
          fields: {
            threads: relayStylePagination(["orderBy", "filterBy"]),
            moderationQueue: relayStylePagination(["orderBy", "filterBy"]),
          },
        },
        Thread: {
          fields: {
            comments: commentPages(),
            viewerPendingComments: { merge: false },
          },
        },
        Comment: {
          fields: {
            replies: relayStylePagination(["orderBy"]),
            // A shorter list replaces the one before.
            reactionGroups: { merge: false },
            reactors: { merge: false },
          },
        },
        Limits: { merge: true },
        // There is one viewer, so that of a mutation's payload is the one of queries.
        Viewer: { keyFields: [] },
      },
    }),
    link: ApolloLink.from([
      // Queries by GET, which the server's ETag and cache headers are for.
      new PersistedQueryLink({ sha256, useGETForHashedQueries: true }),
      new HttpLink({ uri, ...options }),
    ]),
  });
}

interface List {
  edges: { cursor: string; node: Reference }[];
  pageInfo: { endCursor?: string | null };
}

/** Pages of comments. Those that appendComment has added stay at the end while more pages load. */
function commentPages(): FieldPolicy {
  const pages = relayStylePagination(["orderBy", "filterBy"]);
  const { merge } = pages;
  if (typeof merge !== "function") return pages;
  return {
    ...pages,
    merge(existing, incoming, options) {
      const merged: any = merge(existing, incoming, options);
      if (!existing || !options.args?.["after"]) return merged;
      const { edges, pageInfo }: List = existing;
      // The cursor of the last page stays when comments are added behind it.
      const last = edges.findIndex(({ cursor }) => cursor === pageInfo.endCursor);
      const loaded = new Set(merged.edges.map(({ node }: List["edges"][0]) => node.__ref));
      const added = edges.slice(last + 1).filter(({ node }) => !loaded.has(node.__ref));
      return { ...merged, edges: [...merged.edges, ...added] };
    },
  };
}

/** Add a new comment to the end of its thread's lists, in which the oldest comes first. */
export function appendComment(
  cache: ApolloCache,
  { data }: { data?: AddCommentMutation | null | undefined },
): void {
  const { commentEdge, thread } = data?.addComment ?? {};
  if (!commentEdge || !thread) return;
  cache.modify({
    id: cache.identify(thread),
    fields: {
      comments(list, { toReference, readField }) {
        const edge = { ...commentEdge, node: toReference(commentEdge.node) };
        // A page may have brought it before the mutation's response came.
        const isThere = list.edges.some(
          ({ node }: List["edges"][0]) => readField("id", node) === commentEdge.node.id,
        );
        return isThere ? list : { ...list, edges: [...list.edges, edge] };
      },
    },
  });
}
