// graphql-ws: operations over one WebSocket, in the name of whoever has the token.
import { createClient as create, type Client } from "graphql-ws";

export function createClient(url: string, getToken: () => string | undefined): Client {
  return create({
    url: url.replace(/^http/, "ws"),
    lazyCloseTimeout: 60_000, // kept open for a minute between operations
    // Asked for each time that it connects, as when the server has closed for an expired token.
    connectionParams: () => {
      const token = getToken();
      return token ? { authorization: `Bearer ${token}` } : {};
    },
  });
}
