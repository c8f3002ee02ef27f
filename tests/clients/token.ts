// A fetch that signs in: it sends the token that a function returns at the time of each request.
export function withToken(token: () => string | null, send = globalThis.fetch): typeof fetch {
  return (input, init) => {
    const headers = new Headers(init?.headers);
    const current = token();
    if (current) headers.set("authorization", `Bearer ${current}`);
    return send(input, { ...init, headers });
  };
}
