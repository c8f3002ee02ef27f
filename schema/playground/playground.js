// GraphiQL on the GraphQL endpoint at this page's own address, opened on the examples.
"use strict";

(() => {
  // Each opens in a tab of its own; the first is the one in front. Who may not write is shown
  // only those that read.
  const READING = ["threads", "page"];
  const EXAMPLES = ["start", "threads", "page", "comment"];
  const WITH_VARIABLES = ["start", "page", "comment"];
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

  // The data of a query, in the name of whom the headers stand for; nothing where it fails.
  const ask = async (query, headers) => {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const answer = await response.json();
    return answer.data ?? {};
  };

  const canWrite = async () => {
    const { viewer } = await ask("{ viewer { canStartThread } }");
    return viewer ? viewer.canStartThread : document.body.dataset.guests !== "read";
  };

  // What an example leaves to this page: a name for a guest, and the newest thread.
  const fillIn = async (variables, headers) => {
    const filled = { ...variables };
    if (filled.authorName === null) {
      const { viewer } = await ask("{ viewer { name } }", headers);
      if (viewer === null) filled.authorName = "Ada";
    }
    if (filled.threadId === null) {
      const { threads } = await ask(
        "{ threads(first: 1, orderBy: { field: CREATED_AT, direction: DESC }) { nodes { id } } }",
        headers,
      );
      filled.threadId = threads?.nodes[0]?.id ?? null;
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

  // GraphiQL keeps its tabs in the browser's storage. Under a prefix, so that those of
  // another project, served at the same address on another day, do not show up here; and
  // under another for who may write, who is shown more examples.
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
        "The playground's assets are missing from this installation. In a checkout, " +
          "python scripts/playground.py brings them in; then start the server anew.",
      );
      return;
    }
    const writes = await canWrite();
    const tabs = await Promise.all((writes ? EXAMPLES : READING).map(example));
    const brand = React.createElement(
      GraphiQL.Logo,
      null,
      React.createElement("a", { className: "brand", href: location.pathname }, "Tallied"),
    );
    const plugins = [
      GraphiQL.HISTORY_PLUGIN,
      globalThis.GraphiQLPluginExplorer?.explorerPlugin(),
    ].filter(Boolean);
    const storage = makeStorage(writes ? "tallied:write:" : "tallied:read:");
    // GraphiQL takes all of its first tabs from defaultTabs but the variables of the one in front.
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
