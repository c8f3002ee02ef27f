// graphql-ws: operations over one WebSocket, with a token.
import { createClient as create, type Client } from "graphql-ws";

export function createClient(url: string, getToken: () => string | undefined): Client {
  return create({
    url: url.replace(/^http/, "ws"),
    lazyCloseTimeout: 60_000, // kept open for a minute between operations
    // Called at each connection, also after the server has closed one for an expired token.
    connectionParams: () => {
      const token = getToken();
      return token ? { authorization: `Bearer ${token}` } : {};
    },
  });
}
