// The page's state and what happens to it. gradio holds the collection and the number of results; its events arrive
// through `window.lookalike`.

import * as api from "./api.js";
import { createAsk } from "./ask.js";
import * as view from "./view.js";

const EXAMPLES = 12;
const STRIP = 10;
const PAUSE = 180; // ms that a slider rests before it counts

const narrow = () => matchMedia("(max-width: 860px)").matches;

export function start(shell) {
  const find = (selector) => document.querySelector(selector);
  const results = find("#lk-results");
  const settings = JSON.parse(find("#lk-settings").dataset.settings);
  const state = { collection: settings.collection, k: settings.k, query: null, examples: [] };
  let running = null;
  let turn = 0;
  let timer = 0;

  const ask = createAsk(find("#lk-ask"), { search, refuse, cleared: reset, maxBytes: settings.max_bytes });

  async function search(query) {
    running?.abort();
    running = new AbortController();
    const mine = (turn += 1);
    if (state.query !== query) forgetObjectUrl(state.query);
    state.query = query;
    preview(query);
    view.showLoading(results, state.k, state.examples[0]?.credit);
    if (narrow()) results.scrollIntoView({ block: "start" }); // there the results are below everything else
    document.body.classList.add("lk-searching");
    try {
      const answer = await api.search(query, state.collection, state.k, running.signal);
      if (mine !== turn) return;
      if (answer.queries.length) preview({ ...query, src: api.queryUrl(answer.queries[0]) });
      find("#lk-announce").textContent = `${answer.results.length} results for ${query.name}`;
      view.showResults(results, answer, { query, collection: state.collection, search: fromResults });
      view.showStrip(find("#lk-strip"), state.examples.slice(0, STRIP), state.collection, search);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (!(error instanceof api.ApiError)) throw error;
      if (error.status === 0 && error.type !== "Unreachable") {
        state.query = null; // a refused picture is not asked again when the collection changes
        ask.clear();
      }
      view.showError(results, error, startOver);
    } finally {
      if (mine === turn) document.body.classList.remove("lk-searching");
    }
  }

  function fromResults(query) {
    if (!narrow()) find("#lk-top").scrollIntoView({ block: "start" });
    search(query);
  }

  function preview(query) {
    if (query.file && !query.src) query.src = URL.createObjectURL(query.file);
    const src = query.src ?? (query.id === undefined ? null : api.thumbnailUrl(query.id, query.collection, 640));
    if (src) ask.show({ src, name: query.name, note: view.creditLine(query.credit) });
    else ask.clear();
  }

  function forgetObjectUrl(query) {
    if (query?.src?.startsWith("blob:")) URL.revokeObjectURL(query.src);
    if (query) query.src = undefined;
  }

  function refuse(error) {
    running?.abort();
    turn += 1;
    document.body.classList.remove("lk-searching");
    view.showError(results, error, startOver);
  }

  function startOver() {
    ask.clear();
    reset();
  }

  function reset() {
    running?.abort();
    turn += 1;
    document.body.classList.remove("lk-searching");
    state.query = null;
    find("#lk-strip").hidden = true;
    results.removeAttribute("aria-busy");
    view.showExamples(results, state.examples, state.collection, { search });
  }

  async function open(collection) {
    state.collection = collection;
    const wanted = collection;
    if (state.query) search(state.query);
    try {
      const [status, { examples }] = await Promise.all([api.status(collection), api.examples(collection, EXAMPLES)]);
      if (state.collection !== wanted) return;
      view.showStatus(find("#lk-status"), status);
      state.examples = examples;
      if (!state.query) reset();
      else view.showStrip(find("#lk-strip"), examples.slice(0, STRIP), collection, search);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      if (state.collection === wanted) refuse(error);
    }
  }

  window.lookalike = {
    collection: () => state.collection,
    refresh: () => open(state.collection),
    setCollection(name) {
      if (name && name !== state.collection) open(name);
    },
    /** Search with a picture of a collection. */
    async searchWith(id, collection = state.collection) {
      const { name, credit } = await api.picture(id, collection);
      fromResults({ id, collection, name, credit });
    },
    /** The form of the search that is shown; null where there is none. */
    queryForm: () => state.query && api.searchForm(state.query, state.collection, state.k),
    setCount(k) {
      if (!(k >= 1) || k === state.k) return;
      state.k = k;
      clearTimeout(timer);
      if (state.query) timer = setTimeout(() => search(state.query), PAUSE);
    },
  };
  find("#lk-theme").addEventListener("click", () => {
    const dark = document.body.classList.toggle("dark");
    remember("lookalike-theme", dark ? "dark" : "light");
  });
  const theme = recall("lookalike-theme");
  if (theme && !new URLSearchParams(location.search).has("__theme")) {
    document.body.classList.toggle("dark", theme === "dark");
  }
  import("./keeping.js").then(({ wireKeeping }) => wireKeeping(window.lookalike));
  shell.dataset.ready = "true";
  open(state.collection);
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A browser that keeps nothing shows the system's theme next time.
  }
}

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
