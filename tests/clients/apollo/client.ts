// Apollo Client: pages merge as Relay's specification says, documents are sent by their hash.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { relayStylePagination } from "@apollo/client/utilities";
import { sha256 } from "../sha256.js";

export function createClient(uri: string, options: HttpLink.Options = {}): ApolloClient {
  return new ApolloClient({
    cache: new InMemoryCache({
      // Every interface and union of the schema, with its types.
      possibleTypes: { Node: ["Author", "Comment", "Thread"] },
      typePolicies: {
        // Lists in another order, or filtered otherwise, are other lists.
        Query: { fields: { threads: relayStylePagination(["orderBy", "filterBy"]) } },
        Thread: { fields: { comments: relayStylePagination(["orderBy", "filterBy"]) } },
      },
    }),
    link: ApolloLink.from([
      // Queries by GET, which the server's ETag and cache headers are for.
      new PersistedQueryLink({ sha256, useGETForHashedQueries: true }),
      new HttpLink({ uri, ...options }),
    ]),
  });
}
