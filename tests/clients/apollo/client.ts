// Apollo Client: pages merge as Relay's specification says.
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";

export function createClient(uri: string, options: HttpLink.Options = {}): ApolloClient {
  return new ApolloClient({
    cache: new InMemoryCache({
      possibleTypes: { Node: ["Comment", "Thread"] },
      typePolicies: {
        // Lists in another order, or filtered otherwise, are other lists.
        Query: { fields: { threads: relayStylePagination(["orderBy", "filter"]) } },
        Thread: { fields: { comments: relayStylePagination(["orderBy", "filter"]) } },
      },
    }),
    link: new HttpLink({ uri, ...options }),
  });
}
