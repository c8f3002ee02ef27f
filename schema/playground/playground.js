// GraphiQL on the GraphQL endpoint at this page's own address, opened on the examples.
"use strict";

(() => {
  // Each example has a tab; the first is active. A viewer who may not write gets only the
  // examples that read, and only moderators see the queue.
  const READING = ["threads", "page", "tree", "unread"];
  const EXAMPLES = [
    "start", "threads", "page", "comment", "reply", "tree", "react", "edit", "unread", "queue"
  ];
  const WITH_VARIABLES = ["start", "page", "comment", "reply", "tree", "react", "edit", "unread"];
  const FILES = new URL(".", document.currentScript.src);

  const notice = (text) => {
    const paragraph = document.createElement("p");
    paragraph.className = "notice";
    paragraph.textContent = text;
    document.getElementById("playground").replaceChildren(paragraph);
  };

  const read = async (name) => {
    const response = await fetch(new URL(`examples/${name}`, FILES));
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
    return response.text();
  };

  const example = async (name) => ({
    query: await read(`${name}.graphql`),
    variables: WITH_VARIABLES.includes(name) ? await read(`${name}.json`) : undefined,
  });

  // Returns the data of a query sent with these headers; an empty object if it fails.
  const ask = async (query, headers) => {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const answer = await response.json();
    return answer.data ?? {};
  };

  // Returns the names of the examples that the viewer may run.
  const findExamples = async () => {
    const { viewer } = await ask("{ viewer { canStartThread isModerator } }");
    const guests = document.body.dataset.guests;
    if (!(viewer ? viewer.canStartThread : guests !== "read")) return READING;
    const moderates = viewer ? viewer.isModerator : guests === "moderate";
    return EXAMPLES.filter((name) => moderates || name !== "queue");
  };

  const NEWEST = `{ threads(first: 1, orderBy: { field: CREATED_AT, direction: DESC }) { nodes { id
    comments(last: 1, filterBy: { topLevelOnly: false }) { nodes { id } } } } }`;

  // Sets the variables that an example leaves null: a name for a guest, the newest thread, and
  // the latest comment there.
  const fillIn = async (variables, headers) => {
    const filled = { ...variables };
    if (filled.authorName === null) {
      const { viewer } = await ask("{ viewer { name } }", headers);
      if (viewer === null) filled.authorName = "Ada";
    }
    if (filled.threadId === null || filled.commentId === null) {
      const { threads } = await ask(NEWEST, headers);
      const thread = threads?.nodes[0];
      if (filled.threadId === null) filled.threadId = thread?.id ?? null;
      if (filled.commentId === null) filled.commentId = thread?.comments.nodes[0]?.id ?? null;
    }
    return filled;
  };

  const makeFetcher = () => {
    const send = GraphiQL.createFetcher({
      url: location.pathname,
      subscriptionUrl: location.origin.replace(/^http/, "ws") + location.pathname,
    });
    return async (request, options) => {
      const variables = request.variables && (await fillIn(request.variables, options?.headers));
      return send({ ...request, variables }, options);
    };
  };

  // GraphiQL stores its tabs in the browser. The prefix separates them from those of another
  // project at the same address, and those of writers, who get more examples, from readers'.
  const makeStorage = (prefix) => ({
    get length() {
      return localStorage.length;
    },
    getItem: (key) => localStorage.getItem(prefix + key),
    setItem: (key, value) => localStorage.setItem(prefix + key, value),
    removeItem: (key) => localStorage.removeItem(prefix + key),
    clear: () => {
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith(prefix)) localStorage.removeItem(key);
      }
    },
  });

  const start = async () => {
    if (!globalThis.React || !globalThis.ReactDOM || !globalThis.GraphiQL) {
      notice(
        "The playground's assets are missing from this installation. In a checkout, run " +
          "python scripts/playground.py, and restart the server.",
      );
      return;
    }
    const names = await findExamples();
    const tabs = await Promise.all(names.map(example));
    const brand = React.createElement(
      GraphiQL.Logo,
      null,
      React.createElement("a", { className: "brand", href: location.pathname }, "Tallied"),
    );
    const plugins = [
      GraphiQL.HISTORY_PLUGIN,
      globalThis.GraphiQLPluginExplorer?.explorerPlugin(),
    ].filter(Boolean);
    const storage = makeStorage(names === READING ? "tallied:read:" : "tallied:write:");
    // GraphiQL takes its first tabs from defaultTabs, except for the variables of the active one.
    if (storage.getItem("graphiql:tabState") === null && tabs[0].variables) {
      storage.setItem("graphiql:variables", tabs[0].variables);
    }
    const graphiql = React.createElement(
      GraphiQL,
      {
        fetcher: makeFetcher(),
        defaultTabs: tabs,
        defaultEditorToolsVisibility: "variables",
        schemaDescription: true,
        plugins,
        storage,
      },
      brand,
    );
    ReactDOM.createRoot(document.getElementById("playground")).render(graphiql);
  };

  start().catch((error) => notice(`The playground could not be started. ${error.message}`));
})();
