// GraphiQL on the GraphQL endpoint at this page's own address, opened on the examples.
"use strict";

(() => {
  // Each opens in a tab of its own; the first is the one in front.
  const EXAMPLES = ["start", "threads", "page", "comment"];
  const WITH_VARIABLES = ["page", "comment"];

  const notice = (text) => {
    const paragraph = document.createElement("p");
    paragraph.className = "notice";
    paragraph.textContent = text;
    document.getElementById("playground").replaceChildren(paragraph);
  };

  const read = async (name) => {
    const response = await fetch(`playground/examples/${name}`);
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
    return response.text();
  };

  const example = async (name) => ({
    query: await read(`${name}.graphql`),
    variables: WITH_VARIABLES.includes(name) ? await read(`${name}.json`) : undefined,
  });

  // GraphiQL keeps its tabs in the browser's storage. Under a prefix, so that those of
  // another project, served at the same address on another day, do not show up here.
  const PREFIX = "tallied:";
  const storage = {
    get length() {
      return localStorage.length;
    },
    getItem: (key) => localStorage.getItem(PREFIX + key),
    setItem: (key, value) => localStorage.setItem(PREFIX + key, value),
    removeItem: (key) => localStorage.removeItem(PREFIX + key),
    clear: () => {
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith(PREFIX)) localStorage.removeItem(key);
      }
    },
  };

  const start = async () => {
    if (!globalThis.React || !globalThis.ReactDOM || !globalThis.GraphiQL) {
      notice(
        "The playground's assets are missing from this installation. In a checkout, " +
          "python scripts/playground.py brings them in; then reload this page.",
      );
      return;
    }
    const tabs = await Promise.all(EXAMPLES.map(example));
    const brand = React.createElement(
      GraphiQL.Logo,
      null,
      React.createElement("a", { className: "brand", href: location.pathname }, "Tallied"),
    );
    const plugins = [
      GraphiQL.HISTORY_PLUGIN,
      globalThis.GraphiQLPluginExplorer?.explorerPlugin(),
    ].filter(Boolean);
    const graphiql = React.createElement(
      GraphiQL,
      {
        fetcher: GraphiQL.createFetcher({ url: location.pathname }),
        defaultTabs: tabs,
        defaultEditorToolsVisibility: "variables",
        plugins,
        storage,
      },
      brand,
    );
    ReactDOM.createRoot(document.getElementById("playground")).render(graphiql);
  };

  start().catch((error) => notice(`The playground could not be started. ${error.message}`));
})();
