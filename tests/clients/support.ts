// What the programs share: the server's address, content to read, and what was sent.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

export const url = process.env["TALLIED_URL"] ?? assert.fail("TALLIED_URL names no server");

/** The token of a viewer who has written nothing yet. */
export const token = () => process.env["TALLIED_TOKEN"] ?? assert.fail("TALLIED_TOKEN is no token");

// Clients warn about answers that they cannot keep or merge: here that is a failure.
console.warn = console.error = (...words: unknown[]) => assert.fail(words.join(" "));

export interface Sent {
  method: string;
  accept: string | null;
  extensions: { persistedQuery?: { sha256Hash: string } };
  documentId: string | undefined;
  hasDocument: boolean;
  status: number;
}

/** A fetch that notes what it has sent, and how that was answered. */
export function recordingFetch(): { sent: Sent[]; fetch: typeof fetch } {
  const sent: Sent[] = [];
  const record: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const given =
      request.method === "GET"
        ? Object.fromEntries(new URL(request.url).searchParams)
        : JSON.parse(await request.clone().text());
    const extensions = given.extensions ?? {};
    const response = await fetch(request);
    sent.push({
      method: request.method,
      accept: request.headers.get("accept"),
      extensions: typeof extensions === "string" ? JSON.parse(extensions) : extensions,
      documentId: given.documentId,
      hasDocument: Boolean(given.query),
      status: response.status,
    });
    return response;
  };
  return { sent, fetch: record };
}

/** A fetch that keeps back the answer to a request with a text until `release()`. */
export function holdingFetch(text: string) {
  const bell = new EventEmitter();
  const [answered, released] = [once(bell, "answered"), once(bell, "released")];
  const hold: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (response.ok && `${decodeURIComponent(String(input))} ${init?.body}`.includes(text)) {
      bell.emit("answered");
      await released;
    }
    return response;
  };
  return { fetch: hold, answered, release: () => bell.emit("released") };
}

/** The address of a server that drops every connection without a word. */
export async function withoutAnswer<T>(use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`);
  } finally {
    server.close();
  }
}

async function send(query: string, variables: object): Promise<any> {
  const body = JSON.stringify({ query, variables });
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined);
  return data;
}

const CREATE = `
  mutation ($input: CreateThreadInput!) { createThread(input: $input) { thread { id } } }
`;
const ADD = "mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { id } } }";

/** A new thread with comments "number 1", "number 2" and so on; its id. */
export async function discussion(comments: number, title = "Clients"): Promise<string> {
  const threadId = (await send(CREATE, { input: { title } })).createThread.thread.id;
  for (const message of numbered(1, comments)) {
    const { addComment } = await send(ADD, { input: { threadId, authorName: "Ada", message } });
    assert.ok(addComment.comment);
  }
  return threadId;
}

/** Threads of a title that no others have, ending in 1, 2 and so on; what their titles share. */
export async function threads(count: number): Promise<string> {
  const title = `Topic ${randomUUID()}, number`;
  for (let number = 1; number <= count; number++) await discussion(0, `${title} ${number}`);
  return title;
}

/** The threads about two objects of the host, of two kinds with one key. */
export const ONE_KEY = `{
  photo: threadFor(target: { type: "photo", key: "7" }) { id target { type key } }
  article: threadFor(target: { type: "article", key: "7" }) { id target { type key } }
}`;

/** The messages from "number {first}" to "number {last}". */
export function numbered(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `number ${first + index}`);
}
