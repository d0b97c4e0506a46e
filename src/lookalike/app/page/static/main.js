// The page: one state (query.js), and what happens to it. Every change goes through `go`, which also writes the address.

import * as api from "./api.js";
import { createAsk } from "./ask.js";
import { createCount } from "./count.js";
import { showDetails } from "./details.js";
import { el, finder } from "./dom.js";
import { createFilters } from "./filters.js";
import { keepFocus } from "./focus.js";
import { createHistory } from "./history.js";
import { wireDialogs } from "./dialogs.js";
import * as query from "./query.js";
import { clicked, createSearcher, measure } from "./searcher.js";
import { followTheme } from "./theme.js";
import { listenForKeys, milliseconds } from "./tiles.js";
import { createTurns } from "./turns.js";
import * as view from "./view.js";

/** @import { Entry, Found, Hit, Label, Mark, Picture, Role, State, Status, Thumb, Way } from "./types.d.ts" */
/** @typedef {Promise<Found | null>} Searching */
/** @typedef {ReturnType<typeof keepFocus>} Refocus */
/**
 * What is known of the collection `of`; `opened` is the one that was asked about last.
 * @typedef {object} Known
 * @property {Picture[]} examples
 * @property {Label[]} labels
 * @property {Status | null} status
 * @property {string | null} of
 * @property {string | null} opened
 */

const EXAMPLES = 12;
const STRIP = 10;
const PAGE = 48;
const AGAIN = 2000; // ms between questions whether the server is back

const narrow = () => matchMedia("(max-width: 860px)").matches;
const find = finder(document);

/**
 * Bring the page to life; `shell` is told when it is ready.
 * @param {HTMLElement} shell
 */
export function start(shell) {
  /** @type {{ collection: string, max_bytes: number }} */
  const settings = JSON.parse(find("#lk-settings").dataset.settings ?? "");
  const results = find("#lk-results");
  const select = find("#lk-collection-select", HTMLSelectElement);
  const words = find("#lk-url", HTMLInputElement);
  const visits = createHistory(settings.collection, restored);
  const searcher = createSearcher();
  const keys = listenForKeys(results);
  /** @type {Known} */
  const context = { examples: [], labels: [], status: null, of: null, opened: null };
  const [beginList, beginPicture] = [createTurns(), createTurns()];
  let state = visits.start();
  /** @type {{ state: State, hits: Hit[] } | null} */
  let shown = null; // the last state that was answered, and its hits
  let waiting = 0;
  let isLeap = false; // the question is another picture: its answer is read from the first result on

  const ask = createAsk(find("#lk-ask"), {
    ask: (parts, add) => go(add ? query.adding(state, ...parts) : query.asking(state, ...parts)),
    refuse,
    clear: () => go(query.emptied(state)),
    remove: (key) => go(query.without(state, key)),
    cut: (key, region) => go(query.changing(state, key, { region })),
    maxBytes: settings.max_bytes,
  });
  const filters = createFilters(find("#lk-tools"), state, { change: (next) => go(next) });
  const count = createCount(find("#lk-count"), (k, begun) => go({ ...state, k }, { begun, how: "replace" }));
  const handlers = { search, details, mark };

  /**
   * Everything that changes what is asked or shown.
   * @param {State} next
   * @param {{ begun?: number, how?: "push" | "replace" }} [options]
   */
  function go(next, { begun = clicked(), how = "push" } = {}) {
    const before = state;
    state = next;
    const asked = asking();
    visits[how](state);
    ask.stopAdding();
    if (state.collection !== before.collection) open();
    return run(begun, before, asked);
  }

  /** @param {State} next */
  function restored(next) {
    const before = state;
    state = next;
    const asked = asking();
    if (state.collection !== before.collection) open();
    run(clicked(), before, asked);
  }

  /**
   * The question is on its way before anything is drawn.
   * @type {() => Searching | null}
   */
  const asking = () => (query.isAsked(state) && state.browse === null ? searcher.ask(state) : searcher.stop());

  function drawTools() {
    ask.show(state);
    filters.show(state);
    select.value = state.collection;
    count.show(state.k);
    find("#lk-back", HTMLButtonElement).disabled = !visits.canBack();
    find("#lk-forward", HTMLButtonElement).disabled = !visits.canForward();
    find("#lk-browse").setAttribute("aria-pressed", String(state.browse !== null));
    document.body.classList.toggle("lk-asked", query.isAsked(state) && state.browse === null);
    const isQuiet = !query.isAsked(state);
    const thumbs = (context.of === state.collection ? context.examples : []).slice(0, STRIP).map((entry) => view.exampleThumb(entry, state.collection, search));
    view.showStrip(find("#lk-strip"), "Examples", isQuiet && state.browse === null ? [] : thumbs);
    view.showStrip(find("#lk-recent"), "Last searched", visits.recent(query.isAsked).map(recentThumb));
  }

  /** @type {(begun: number, before: State, asked?: Searching | null) => void} */
  function run(begun, before, asked = asking()) {
    clearTimeout(waiting);
    drawTools();
    document.body.classList.remove("lk-searching");
    if (state.browse !== null) return void browse(state.browse);
    if (asked) return void searchNow(begun, before, asked);
    shown = null;
    // Those of another collection are no examples of this one; `open` brings its own.
    if (context.of === state.collection) view.showExamples(results, context.examples, state.collection, { search });
    return keys.reset();
  }

  /** @type {(begun: number, before: State, asked: Searching) => Promise<void>} */
  async function searchNow(begun, before, asked) {
    const place = keepFocus(results);
    view.showLoading(results, state.k, context.examples[0]?.credit);
    /** @param {State} state */
    const keysOf = ({ parts }) => parts.map((each) => each.key).join();
    if (narrow() && keysOf(state) !== keysOf(before)) results.scrollIntoView({ block: "start" }); // there they are below everything
    document.body.classList.add("lk-searching");
    try {
      const found = await asked;
      if (found) show(found, begun, place);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      failed(error, before);
    }
  }

  /** @type {(found: Found, begun: number, place: Refocus) => void} */
  function show({ state: known, answer }, begun, place) {
    document.body.classList.remove("lk-searching");
    state = known;
    visits.replace(state);
    shown = { state, hits: answer.results };
    drawTools();
    const size = context.status?.pictures ?? 0;
    const refocus = keepFocus(results) ?? place;
    view.showResults(results, answer, {
      state,
      handlers,
      size,
      all: Boolean(refocus),
      isExact: context.status?.index === "flat" || answer.exact || Boolean(answer.words),
      searchExactly: () => go({ ...state, exact: !state.exact }),
      unfilter: () => go({ ...query.unfiltered(state), threshold: 0 }),
    });
    keys.reset();
    refocus?.(isLeap);
    isLeap = false;
    const { name, more } = query.titleOf(state);
    find("#lk-announce").textContent = `${answer.results.length} results for ${name}${more ? ` and ${more} more` : ""}`;
    measure(begun, answer.timing_ms, (total) => {
      const place = document.querySelector("#lk-total b");
      if (place) place.textContent = milliseconds(total);
    });
  }

  /**
   * Say what is wrong; what was refused is taken out of the question, so that it is not asked again.
   * @type {(error: api.ApiError, before: State) => void}
   */
  function failed(error, before) {
    document.body.classList.remove("lk-searching");
    if (error.type === "Unreachable") return waitForServer(error);
    if (["Forgotten", "CollectionNotFoundError"].includes(error.type)) return refuse(error);
    const said = state.parts.findLast((each) => each.text)?.text;
    if (said) words.value = said;
    const isWords = said && error.type === "InputError";
    state = query.isAsked(before) && before !== state && shown ? before : query.unfiltered(query.emptied(state)); // a filter of a bad address too
    visits.replace(state);
    drawTools();
    return refuse(isWords ? new api.ApiError("WordsError", error.message) : error);
  }

  /** @param {api.ApiError} error */
  function refuse(error) {
    searcher.stop();
    document.body.classList.remove("lk-searching");
    const isBack = query.isAsked(state) && error.type !== "Forgotten";
    /** @type {Way[]} */
    const ways = [[isBack ? "Back to the results" : "Back to the examples", () => (isBack ? run(clicked(), state) : go(query.emptied(state)))]];
    if (error.type === "CollectionNotFoundError") ways.splice(0, 1, wayOut());
    const kept = { ...state, parts: state.parts.filter((each) => !each.tag || each.file || each.url) };
    if (error.type === "Forgotten" && query.isAsked(kept)) ways.unshift(["Search without it", () => go(kept)]);
    if (error.type === "WordsError") ways.unshift(...foldersCalled(words.value));
    shown = null;
    view.showError(results, error, ways);
  }

  /**
   * To a collection that is there, with what is left of the question.
   * @returns {Way}
   */
  function wayOut() {
    const known = () => [...select.options].map(({ value }) => value);
    const to = known().includes(state.collection) ? state.collection : (known()[0] ?? settings.collection);
    const parts = () => state.parts.filter(({ source }) => source === undefined || known().includes(source));
    const leave = () => {
      results.replaceChildren(); // what was refused has been read: `open` may show examples
      go(query.moving({ ...state, parts: parts(), like: [], dislike: [] }, to));
    };
    return [`Go to ${to}`, leave];
  }

  /**
   * Words that the model has no label for may be what a folder is called.
   * @param {string} said
   * @returns {Way[]}
   */
  function foldersCalled(said) {
    const wanted = said.trim().toLowerCase();
    const called = (context.of === state.collection ? context.labels : []).filter(({ name }) => name.split("/").pop()?.toLowerCase() === wanted);
    /** @type {(label: string) => () => void} */
    const open = (label) => () => go({ ...query.filtering(query.emptied(state), { labels: [label] }), browse: 0 });
    return called.slice(0, 2).map(({ label, name }) => [`Show the folder ${name}`, open(label)]);
  }

  /** @param {api.ApiError} error */
  function waitForServer(error) {
    view.showError(results, error, [["Ask now", look]], true);
    async function look() {
      clearTimeout(waiting);
      try {
        await api.health();
      } catch (e) {
        if (!(e instanceof api.ApiError)) throw e;
        waiting = setTimeout(look, AGAIN);
        return;
      }
      open();
      run(performance.now(), state);
    }
    waiting = setTimeout(look, AGAIN);
  }

  /** @param {Entry} entry */
  function search(entry) {
    const asked = query.part({ id: entry.id, source: state.collection, name: entry.name, credit: entry.credit });
    isLeap = !ask.isAdding();
    if (!narrow() && isLeap) find("#lk-top").scrollIntoView({ block: "start" });
    go(ask.isAdding() ? query.adding(state, asked) : query.asking(state, asked));
  }

  /** @type {(role: Role, picture: Mark) => void} */
  function mark(role, { id, name }) {
    go(query.marking(state, role, { id, name }));
  }

  /** @param {Entry} entry */
  function details(entry) {
    const answered = shown?.state ?? state;
    const picture = shown?.state.parts.find((each) => !each.text);
    const hits = shown?.hits.flatMap((hit) => [hit, ...(hit.same ?? [])]) ?? [];
    const asked = query.part({ id: entry.id, source: state.collection, name: entry.name, credit: entry.credit });
    showDetails(entry, {
      collection: state.collection,
      hits: hits.some((hit) => hit.id === entry.id) ? hits : [entry],
      compared: picture && { src: api.sourceOf(picture), name: picture.name },
      asked: answered,
      makeForm: () => query.toForm(answered),
      searchWith: (id) => window.lookalike.searchWith(id).catch(unlessRefused),
      markOf: (id) => query.markOf(state, id),
      mark: query.isAsked(state) ? mark : null,
      search,
      add: ({ id, name, credit }) => go(query.adding(state, { ...asked, id, name, credit })),
    });
  }

  /** @param {unknown} error */
  function unlessRefused(error) {
    if (!(error instanceof api.ApiError)) throw error;
    refuse(error);
  }

  /**
   * @param {State} past
   * @returns {Thumb}
   */
  function recentThumb(past) {
    const picture = past.parts.find((each) => !each.text);
    const { name } = query.titleOf(past);
    const src = picture ? api.sourceOf(picture, 96) : past.like[0] && api.thumbnailUrl(past.like[0].id, past.collection, 96);
    const again = () => {
      if (ask.isAdding()) go(query.adding(state, ...past.parts));
      else go(past.collection === state.collection ? { ...past, browse: null } : query.moving(past, state.collection));
    };
    return [src, name, `Search again with ${name}`, again];
  }

  /** @param {number} at */
  async function browse(at) {
    const { collection, filters: wanted } = state;
    const mine = state;
    results.setAttribute("aria-busy", "true");
    try {
      const page = await api.pictures(collection, at * PAGE, PAGE, wanted);
      if (mine !== state) return;
      const last = Math.max(0, Math.ceil(page.total / PAGE) - 1);
      if (at > last) return go({ ...state, browse: last }, { how: "replace" }); // pictures went, or the address is made up
      shown = null;
      /** @param {number} to */
      const turn = (to) => {
        find("#lk-top").scrollIntoView({ block: "start" });
        go({ ...state, browse: to });
      };
      const refocus = keepFocus(results);
      view.showPage(results, page, { collection, offset: at * PAGE, size: PAGE, go: turn, isFiltered: query.activeFilters(state).length > 0, search, details });
      keys.reset();
      refocus?.();
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      if (mine === state) failed(error, state);
    }
  }

  /** What stands beside the search: the collection's figures, folders and examples. */
  async function open() {
    const wanted = (context.opened = state.collection);
    try {
      const [status, { examples }, { labels }] = await Promise.all([
        api.status(wanted),
        api.examples(wanted, EXAMPLES),
        api.labels(wanted),
      ]);
      if (context.opened !== wanted) return;
      Object.assign(context, { status, examples, labels, of: wanted });
      view.showStatus(find("#lk-status"), status);
      filters.setLabels(labels);
      if (query.isAsked(state) || state.browse !== null) drawTools();
      else if (!results.querySelector(".lk-error")) run(performance.now(), state); // what was refused has to be read
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      if (context.opened === wanted) failed(error, state);
    }
  }

  async function listCollections() {
    const isLast = beginList();
    const { collections } = await api.collections();
    if (!isLast()) return;
    select.replaceChildren(...collections.map(({ name }) => el("option", { value: name }, name)));
    select.value = state.collection;
  }

  /** @param {string} name */
  function setCollection(name) {
    if (name && name !== state.collection) go(query.moving(state, name));
  }

  select.addEventListener("change", () => setCollection(select.value));
  find("#lk-back").addEventListener("click", visits.back);
  find("#lk-forward").addEventListener("click", visits.forward);
  find("#lk-browse").addEventListener("click", () => go({ ...state, browse: state.browse === null ? 0 : null }));
  followTheme(find("#lk-theme"));

  window.lookalike = {
    setCollection,
    /** Search with a picture of a collection. */
    async searchWith(id, collection = state.collection) {
      const isLast = beginPicture();
      const { name, credit } = await api.picture(id, collection);
      if (!isLast()) return;
      go(query.asking(state, query.part({ id, source: collection, name, credit })));
    },
    /** The form of the search that is shown; null where there is none. */
    queryForm: () => (query.isAsked(state) ? query.toForm(state) : null),
    async refresh() {
      await listCollections();
      open();
    },
    collection: () => state.collection,
  };
  wireDialogs(window.lookalike);
  shell.dataset.ready = "true";
  visits.replace(state);
  listCollections();
  open();
  if (query.isAsked(state) || state.browse !== null) run(performance.now(), state);
  else drawTools();
}
