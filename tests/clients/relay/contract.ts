import assert from "node:assert/strict";
import { mock, test } from "node:test";
import {
  ConnectionHandler,
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getFragment,
  getRequest,
  getSingularSelector,
  graphql,
  type Environment,
  type GraphQLTaggedNode,
  type MutationParameters,
  type OperationType,
  type VariablesOf,
} from "relay-runtime";
import type { contractAddCommentMutation } from "./__generated__/contractAddCommentMutation.graphql";
import type { contractComments$data } from "./__generated__/contractComments.graphql";
import type { contractCommentsQuery } from "./__generated__/contractCommentsQuery.graphql";
import type { contractCreateThreadMutation } from "./__generated__/contractCreateThreadMutation.graphql";
import type { contractDeleteCommentMutation } from "./__generated__/contractDeleteCommentMutation.graphql";
import type { contractHeaderQuery } from "./__generated__/contractHeaderQuery.graphql";
import type { contractThreadsQuery } from "./__generated__/contractThreadsQuery.graphql";
import type { contractThreadQuery } from "./__generated__/contractThreadQuery.graphql";
import nextComments from "./__generated__/contractCommentsQuery.graphql";
import { createEnvironment } from "./environment";

type Support = typeof import("../support.js", { with: { "resolution-mode": "import" } });
let support: Support;
test.before(async () => {
  support = await import("../support.js");
});

const COMMENTS = graphql`
  fragment contractComments on Thread
  @refetchable(queryName: "contractCommentsQuery")
  @argumentDefinitions(
    first: { type: "Int" }
    after: { type: "String" }
    last: { type: "Int" }
    before: { type: "String" }
  ) {
    commentCount
    wordCount
    comments(first: $first, after: $after, last: $last, before: $before)
      @connection(key: "contract_comments") {
      edges {
        node {
          id
          message
        }
      }
      pageInfo {
        startCursor
        endCursor
        hasNextPage
        hasPreviousPage
      }
    }
  }
`;

const THREAD = graphql`
  query contractThreadQuery($id: ID!, $first: Int, $last: Int) {
    thread(id: $id) {
      id
      title
      ...contractComments @arguments(first: $first, last: $last)
    }
  }
`;

const THREADS = graphql`
  query contractThreadsQuery(
    $titleContains: String!
    $direction: OrderDirection!
    $first: Int!
    $after: String
  ) {
    threads(
      first: $first
      after: $after
      orderBy: { field: CREATED_AT, direction: $direction }
      filterBy: { titleContains: $titleContains }
    ) @connection(key: "contract_threads") {
      __id
      edges {
        node {
          id
          title
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`;

const CREATE = graphql`
  mutation contractCreateThreadMutation($input: CreateThreadInput!, $connections: [ID!]!) {
    createThread(input: $input) {
      clientMutationId
      threadEdge @prependEdge(connections: $connections) {
        cursor
        node {
          id
          title
        }
      }
      userErrors {
        code
      }
    }
  }
`;

const ADD = graphql`
  mutation contractAddCommentMutation($input: AddCommentInput!, $connections: [ID!]!) {
    addComment(input: $input) {
      commentEdge @appendEdge(connections: $connections) {
        node {
          id
          message
        }
      }
      thread {
        id
        commentCount
        wordCount
      }
      viewer {
        author {
          id
          commentCount
          wordCount
        }
      }
      userErrors {
        message
        field
        code
      }
    }
  }
`;

const HEADER = graphql`
  query contractHeaderQuery {
    viewer {
      name
      author {
        id
        commentCount
        wordCount
      }
    }
  }
`;

const DELETE = graphql`
  mutation contractDeleteCommentMutation($input: DeleteCommentInput!, $connections: [ID!]!) {
    deleteComment(input: $input) {
      deletedCommentId @deleteEdge(connections: $connections)
      thread {
        id
        commentCount
        wordCount
      }
      userErrors {
        code
      }
    }
  }
`;

/** Fetches a query, and keeps what it brought from being collected, as a component does. */
async function load<T extends OperationType>(
  environment: Environment,
  query: GraphQLTaggedNode,
  variables: VariablesOf<T>,
): Promise<T["response"]> {
  environment.retain(createOperationDescriptor(getRequest(query), variables));
  const data = await fetchQuery<T>(environment, query, variables).toPromise();
  return data ?? assert.fail("there is no answer");
}

/** The first page of a thread's comments, and how to see them and to load more. */
async function open(page: { first: number } | { last: number }, count: number) {
  const environment = createEnvironment(support.url);
  const id = await support.discussion(count);
  const { thread } = await load<contractThreadQuery>(environment, THREAD, { id, ...page });
  const selector = getSingularSelector(getFragment(COMMENTS), thread) ?? assert.fail("there is no thread");
  const read = () => {
    const data = environment.lookup(selector).data as unknown as contractComments$data;
    return { ...data, messages: data.comments.edges.map((edge) => edge.node.message) };
  };
  // Relay's hooks send the other direction's variables as null.
  const more = (variables: Omit<VariablesOf<contractCommentsQuery>, "id">) =>
    load<contractCommentsQuery>(environment, nextComments, {
      first: null,
      after: null,
      last: null,
      before: null,
      ...variables,
      id,
    });
  const connections = [ConnectionHandler.getConnectionID(id, "contract_comments")];
  return { environment, id, read, more, connections };
}

function commit<T extends MutationParameters>(
  environment: Environment,
  mutation: GraphQLTaggedNode,
  variables: VariablesOf<T>,
): Promise<T["response"]> {
  return new Promise((resolve, reject) => {
    commitMutation<T>(environment, {
      mutation,
      variables,
      onCompleted: resolve,
      onError: reject,
    });
  });
}

test("query with variables", async () => {
  const { read } = await open({ first: 5 }, 2);
  assert.deepEqual(read().messages, support.numbered(1, 2));
  assert.equal(read().commentCount, 2);
});

test("mutation", async () => {
  const { environment, id, read, connections } = await open({ first: 5 }, 1);
  const input = { threadId: id, authorName: "Grace", message: "three more words" };
  const variables = { input, connections };
  const { addComment } = await commit<contractAddCommentMutation>(environment, ADD, variables);
  assert.deepEqual(addComment?.userErrors, []);
  assert.deepEqual(read().messages, ["number 1", "three more words"]);
  assert.deepEqual([read().commentCount, read().wordCount], [2, 5]);
});

test("a viewer's comment is in the viewer's numbers", async () => {
  const { withToken } = await import("../token.js");
  const environment = createEnvironment(support.url, withToken(support.token));
  const { viewer } = await load<contractHeaderQuery>(environment, HEADER, {});
  assert.deepEqual([viewer?.name, viewer?.author], ["Ada", null]);
  const threadId = await support.discussion(1);
  const input = { threadId, message: "three more words" };
  await commit<contractAddCommentMutation>(environment, ADD, { input, connections: [] });
  const operation = createOperationDescriptor(getRequest(HEADER), {});
  const data = environment.lookup(operation.fragment).data as unknown;
  const author = (data as contractHeaderQuery["response"]).viewer?.author;
  assert.deepEqual([author?.commentCount, author?.wordCount], [1, 3]);
});

test("a deleted id leaves the list", async () => {
  const { environment, read, connections } = await open({ first: 5 }, 3);
  const input = { commentId: read().comments.edges[1]!.node.id };
  const variables = { input, connections };
  const done = await commit<contractDeleteCommentMutation>(environment, DELETE, variables);
  assert.equal(done.deleteComment?.deletedCommentId, input.commentId);
  assert.deepEqual(read().messages, ["number 1", "number 3"]);
  assert.equal(read().commentCount, 2);
});

test("pagination forwards", async () => {
  const { read, more } = await open({ first: 3 }, 7);
  assert.deepEqual(read().messages, support.numbered(1, 3));
  for (const last of [6, 7]) {
    assert.equal(read().comments.pageInfo.hasNextPage, true);
    await more({ first: 3, after: read().comments.pageInfo.endCursor });
    assert.deepEqual(read().messages, support.numbered(1, last));
  }
  assert.equal(read().comments.pageInfo.hasNextPage, false);
});

test("pagination backwards", async () => {
  const { read, more } = await open({ last: 3 }, 7);
  assert.deepEqual(read().messages, support.numbered(5, 7));
  for (const first of [2, 1]) {
    assert.equal(read().comments.pageInfo.hasPreviousPage, true);
    await more({ last: 3, before: read().comments.pageInfo.startCursor });
    assert.deepEqual(read().messages, support.numbered(first, 7));
  }
  assert.equal(read().comments.pageInfo.hasPreviousPage, false);
});

/** A list of threads as the store has it; with a page more, if that is asked for. */
async function titles(
  environment: Environment,
  titleContains: string,
  direction: "ASC" | "DESC",
  after: string | null = null,
) {
  const variables = { titleContains, direction, first: 3, after };
  await load<contractThreadsQuery>(environment, THREADS, variables);
  const operation = createOperationDescriptor(getRequest(THREADS), variables);
  const data = environment.lookup(operation.fragment).data as unknown;
  const { threads } = data as contractThreadsQuery["response"];
  const { __id, edges, pageInfo } = threads ?? assert.fail("there are no threads");
  return { __id, ends: edges.map((edge) => edge.node.title.slice(-1)).join(""), pageInfo };
}

test("lists in another order, or filtered otherwise, are other lists", async () => {
  const environment = createEnvironment(support.url);
  const [few, many] = [await support.threads(2), await support.threads(5)];
  const { ends, pageInfo } = await titles(environment, many, "ASC");
  assert.equal(ends, "123");
  assert.equal((await titles(environment, many, "DESC")).ends, "543");
  assert.equal((await titles(environment, few, "ASC")).ends, "12");
  // The second page is added to the first of its own list.
  assert.equal((await titles(environment, many, "ASC", pageInfo.endCursor)).ends, "12345");
  assert.equal((await titles(environment, many, "DESC")).ends, "543");
});

test("a new thread comes first", async () => {
  const environment = createEnvironment(support.url);
  const title = await support.threads(2);
  const before = await titles(environment, title, "DESC");
  assert.equal(before.ends, "21");
  const variables = {
    input: { title: `${title} 3`, clientMutationId: "mine" },
    connections: [before.__id],
  };
  const done = await commit<contractCreateThreadMutation>(environment, CREATE, variables);
  assert.equal(done.createThread?.clientMutationId, "mine");
  assert.ok(done.createThread.threadEdge?.cursor);
  assert.equal((await titles(environment, title, "DESC")).ends, "321");
});

test("userErrors", async () => {
  const { environment, id, read, connections } = await open({ first: 5 }, 1);
  const input = { threadId: id, authorName: "Grace", message: " " };
  const variables = { input, connections };
  // While developing, Relay warns of an edge that is null; the list stays as it is.
  const told = mock.method(console, "error", () => {});
  const { addComment } = await commit<contractAddCommentMutation>(environment, ADD, variables);
  told.mock.restore();
  assert.match(String(told.mock.calls[0]?.arguments[0]), /Expected the server edge to be non-null/);
  assert.equal(told.mock.callCount(), 1);
  assert.equal(addComment?.commentEdge, null);
  assert.match(String(addComment?.userErrors[0]?.field), /message/);
  assert.deepEqual(read().messages, ["number 1"]);
});

test("a network error", async () => {
  await support.withoutAnswer(async (nowhere) => {
    const environment = createEnvironment(nowhere);
    const variables = { id: "any", first: 1 };
    await assert.rejects(load<contractThreadQuery>(environment, THREAD, variables), TypeError);
  });
});
