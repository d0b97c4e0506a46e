// What the page shows: examples, pages of the collection, skeletons, results, errors. It draws and knows nothing else.

import { thumbnailUrl } from "./api.js";
import { el, icon } from "./dom.js";
import { activeFilters, markOf, titleOf } from "./query.js";
import { buttonsOf, grouped, milliseconds, plural, tile } from "./tiles.js";

/** @import { Answer, Child, Credit, Handlers, Hit, Page, Picture, Refused } from "./types.d.ts" */
/** @import { State, Status, Thumb, Way } from "./types.d.ts" */

/**
 * What results are drawn with: `isExact` says whether a search like this one always compares with all pictures, `size`
 * how many there are; `all` draws all results now.
 * @typedef {object} Context
 * @property {State} state
 * @property {Handlers} handlers
 * @property {number} size
 * @property {boolean} all
 * @property {boolean} isExact
 * @property {() => void} searchExactly
 * @property {() => void} unfilter
 */

/** @typedef {{ collection: string, offset: number, size: number, go: (to: number) => void, isFiltered: boolean }} Paging */

/** @type {Record<string, string>} */
const TITLES = {
  ImageError: "This picture cannot be read",
  FetchError: "This address cannot be searched with",
  PayloadTooLarge: "This file is too large",
  TooMany: "Too many at once",
  IdError: "This picture is gone",
  Forgotten: "The picture of this search is gone",
  CollectionNotFoundError: "This collection is gone",
  Unreachable: "The server does not answer",
  Clipboard: "There is no picture to paste",
  Camera: "The camera cannot be used",
  WordsError: "These words cannot be searched with",
};

const AT_ONCE = 40; // tiles drawn in one frame

const NONE = "This collection shows no pictures: it is new, or its folder was missing when it was last indexed. Collections, above, says which, and indexes a folder; so does lookalike index FOLDER.";

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @type {(className: string, label: string, tiles: Child[]) => HTMLElement} */
const grid = (className, label, tiles) => el("ul", { class: `lk-grid ${className}`, "aria-label": label }, tiles);

/**
 * Pictures to start with, before anything was searched.
 * @param {HTMLElement} root
 * @param {Picture[]} examples
 * @param {string} collection
 * @param {Handlers} handlers
 */
export function showExamples(root, examples, collection, handlers) {
  root.removeAttribute("aria-busy");
  const tiles = examples.map((entry, index) => tile(entry, collection, handlers, { index }));
  root.replaceChildren(
    el(
      "header",
      { class: "lk-intro" },
      el("h2", {}, "Which pictures look like yours?"),
      el("p", { class: "lk-lead" }, examples.length ? "Drop one anywhere on this page, paste it, or start with one of these." : NONE),
    ),
    ...(examples.length ? [grid("", "Examples", tiles)] : []),
  );
}

/**
 * A page of the collection; `go(page)` shows another.
 * @param {HTMLElement} root
 * @param {Page} page
 * @param {Handlers & Paging} context
 */
export function showPage(root, page, { collection, offset, size, go, isFiltered, ...handlers }) {
  root.removeAttribute("aria-busy");
  const tiles = page.pictures.map((entry, index) => tile(entry, collection, handlers, { index }));
  const last = Math.max(0, Math.ceil(page.total / size) - 1);
  const at = Math.floor(offset / size);
  /** @type {(label: string, to: number, on: boolean) => HTMLElement} */
  const turn = (label, to, on) =>
    el("button", { type: "button", class: "lk-button", disabled: !on, onclick: () => go(to) }, label);
  root.replaceChildren(
    el("header", { class: "lk-summary" }, el("h2", {}, plural(page.total, "picture")), el("p", { class: "lk-timing" }, `Page ${grouped(at + 1)} of ${grouped(last + 1)}`)),
    page.total ? grid("is-page", "Pictures of the collection", tiles) : el("p", { class: "lk-lead" }, isFiltered ? "No picture passes these filters." : NONE),
    ...(page.total === 0 ? [] : [el("nav", { class: "lk-pages", "aria-label": "Pages" }, turn("Previous", at - 1, at > 0), turn("Next", at + 1, at < last))]),
  );
}

/**
 * Grey tiles where results will be, or the old results dimmed: the page keeps its shape.
 * @param {HTMLElement} root
 * @param {number} k
 * @param {Credit | null | undefined} credited
 */
export function showLoading(root, k, credited) {
  root.setAttribute("aria-busy", "true");
  if (root.querySelector(".lk-grid.is-results")) return;
  const blank = () =>
    el("li", { class: "lk-tile is-blank", "aria-hidden": "true" }, el("span", { class: "lk-picture" }), el("span", { class: "lk-blank-line" }));
  root.replaceChildren(
    el("header", { class: "lk-summary" }, el("h2", {}, "Searching…")),
    el("ul", { class: `lk-grid${credited ? " is-credited" : ""}` }, Array.from({ length: Math.min(k, 60) }, blank)),
  );
}

/**
 * The results of a search.
 * @param {HTMLElement} root
 * @param {Answer} answer
 * @param {Context} context
 */
export function showResults(root, answer, context) {
  const { state, handlers } = context;
  root.removeAttribute("aria-busy");
  const missed = new Set(answer.missed ?? []);
  /** @type {(entry: Hit, index: number) => Parameters<typeof tile>[3]} */
  const optionsOf = (entry, index) => ({ hit: entry, index, mark: markOf(state, entry.id), missed: missed.has(entry.id) });
  /** @type {(entry: Hit, index: number) => HTMLElement} */
  const tileOf = (entry, index) => tile(entry, state.collection, handlers, optionsOf(entry, index));
  /** @type {(entry: Hit, index: number) => HTMLElement} */
  const draw = (entry, index) => foldable(entry, tileOf(entry, index), (other) => tileOf(other, 0));
  const first = context.all ? answer.results.length : onScreen();
  const tiles = answer.results.slice(0, first).map(draw);
  const note = noteOf(answer, context);
  root.replaceChildren(
    el("header", { class: "lk-summary" }, el("h2", {}, headingOf(answer, state)), timingOf(answer, context)),
    ...(note ? [note] : []),
    answer.results.length ? grid("is-results", "Results", tiles) : nothing(context),
  );
  drawMore(root.querySelector(".lk-grid"), answer.results, first, draw);
}

/** As many tiles as a window of this size can show, and a row or two. */
const onScreen = () => Math.ceil(window.innerWidth / 150) * Math.ceil(window.innerHeight / 240);

/**
 * The tiles below the window, some in each frame after the one that shows the first.
 * @param {Element | null} list
 * @param {Hit[]} results
 * @param {number} from
 * @param {(entry: Hit, index: number) => HTMLElement} draw
 */
function drawMore(list, results, from, draw) {
  if (!list || from >= results.length) return;
  const next = () => {
    if (!list.isConnected) return;
    const more = results.slice(from, from + AT_ONCE).map((entry, at) => draw(entry, from + at));
    for (const each of more) for (const button of buttonsOf(each)) button.tabIndex = -1;
    list.append(...more);
    drawMore(list, results, from + AT_ONCE, draw);
  };
  requestAnimationFrame(() => requestAnimationFrame(next));
}

/**
 * @param {Answer} answer
 * @param {State} state
 */
function headingOf({ results }, state) {
  const { name, isText, more } = titleOf(state);
  const what = el("em", { title: name }, isText ? `“${name}”` : name);
  const start = results.length ? `${plural(results.length, "picture")} ` : "No picture ";
  return [start, isText ? "of " : "like ", what, ...(more ? [` and ${more} more`] : [])];
}

/**
 * @param {Answer} answer
 * @param {Context} context
 */
function timingOf({ timing_ms: timing }, { state, isExact, size, searchExactly }) {
  /** @type {(label: string, ms: number, title: string) => HTMLElement} */
  const time = (label, ms, title) => el("span", { title }, `${label} `, el("b", {}, milliseconds(ms)));
  const button = { type: "button", class: "lk-link", id: "lk-exact", "aria-pressed": String(state.exact), onclick: searchExactly };
  return el(
    "p",
    { class: "lk-timing" },
    time("embedding", timing.embed, "From the picture to a vector"),
    time("search", timing.search, "From the vector to these results"),
    el("span", { title: "From the click until the results were shown", id: "lk-total" }, "total ", el("b", {}, "…")),
    isExact
      ? el("span", { title: `Compared with all ${grouped(size)} pictures` }, "exact")
      : el("button", button, icon("target", 15), state.exact ? "Back to the index" : "Search exactly"),
  );
}

/**
 * What has to be said about how the search was done.
 * @param {Answer} answer
 * @param {Context} context
 */
function noteOf(answer, { size }) {
  if (answer.words) return el("p", { class: "lk-note" }, icon("text", 16), capital(answer.words));
  if (!answer.missed) return null;
  const n = answer.missed.length;
  const found = n ? `The index had missed ${n} of these ${answer.results.length}; ${n === 1 ? "it is" : "they are"} marked.` : "The index had found all of these too.";
  return el("p", { class: "lk-note", id: "lk-missed" }, icon("target", 16), `Compared with all ${grouped(size)} pictures. ${found}`);
}

/** @param {Context} context */
function nothing({ state, unfilter }) {
  if (!state.threshold && !activeFilters(state).length) return el("div", { class: "lk-empty" }, icon("picture", 28), el("p", {}, `There is nothing else in ${state.collection}.`));
  const passed = [...(state.threshold ? [`${state.threshold}%`] : []), ...(activeFilters(state).length ? ["these filters"] : [])];
  const remove = el("button", { type: "button", class: "lk-button", onclick: unfilter }, "Remove filters and threshold");
  return el(
    "div",
    { class: "lk-empty" },
    icon("filter", 28),
    el("p", {}, `Nothing in ${state.collection} passes ${passed.join(" and ")}.`),
    remove,
  );
}

/**
 * A tile with "+3 same", which shows those beside it.
 * @param {Hit} entry
 * @param {HTMLElement} one
 * @param {(other: Hit) => HTMLElement} tileOf
 */
function foldable(entry, one, tileOf) {
  const same = entry.same ?? [];
  if (!same.length) return one;
  /** @type {HTMLElement[]} */
  let shown = [];
  const toggle = () => {
    if (shown.length) shown.forEach((each) => each.remove());
    else one.after(...(shown = same.map((other) => tileOf(other))));
    const isOpen = shown.length > 0 && shown[0].isConnected;
    if (!isOpen) shown = [];
    shown.forEach((each) => each.classList.add("is-same"));
    one.classList.toggle("is-unfolded", isOpen);
    button.setAttribute("aria-expanded", String(isOpen));
  };
  const button = el(
    "button",
    { type: "button", class: "lk-same", "aria-expanded": "false", title: "Nearly the same pictures", onclick: toggle },
    icon("layers", 14),
    `+${same.length} same`,
  );
  one.append(button);
  return one;
}

/**
 * An error, what can be done about it, and whether the page waits for the server.
 * @param {HTMLElement} root
 * @param {Refused} error
 * @param {Way[]} ways
 * @param {boolean} [isWaiting]
 */
export function showError(root, error, ways, isWaiting = false) {
  root.removeAttribute("aria-busy");
  const message = capital(error.message);
  const buttons = ways.map(([label, onclick]) => el("button", { type: "button", class: "lk-button", onclick }, label));
  root.replaceChildren(
    el(
      "div",
      { class: "lk-error", role: "alert" },
      icon("alert", 28),
      el(
        "div",
        {},
        el("h2", {}, TITLES[error.type] ?? "This search did not work"),
        el("p", {}, message),
        ...(isWaiting ? [el("p", { class: "lk-retry" }, el("i", {}), "Trying again every two seconds.")] : []),
        el("div", { class: "lk-error-ways" }, buttons),
      ),
    ),
  );
}

/**
 * What is searched, and how well.
 * @param {HTMLElement} root
 * @param {Status} status
 */
export function showStatus(root, status) {
  const recall = status.recall_at_10;
  /** @type {[string, Child][]} */
  const rows = [
    ["Pictures", grouped(status.pictures)],
    ["Index", status.index === "flat" ? "exact search" : status.spec],
    ["Model", status.model_title ?? status.model],
  ];
  if (recall && status.pictures) {
    const interval = `${recall.low.toFixed(3)}–${recall.high.toFixed(3)}`;
    const meaning = `Share of the true ${recall.k} nearest pictures that a search finds, over ${recall.n} queries; 95 % interval ${interval}`;
    const value = el("span", { title: meaning }, recall.value.toFixed(3), el("small", {}, ` (${interval})`));
    rows.splice(2, 0, [`Recall@${recall.k}`, value]);
  }
  if (status.skipped?.length) rows.push(["Skipped", plural(status.skipped.length, "file")]);
  root.replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/**
 * Small pictures in a row.
 * @param {HTMLElement} root
 * @param {string} title
 * @param {Thumb[]} thumbs
 */
export function showStrip(root, title, thumbs) {
  root.hidden = thumbs.length === 0;
  /** @param {Thumb} thumb */
  const button = ([src, hint, label, onclick]) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", title: hint, "aria-label": label, onclick },
        src ? el("img", { loading: "lazy", src, alt: "", draggable: false }) : icon("text", 20),
      ),
    );
  root.replaceChildren(el("h2", {}, title), el("ul", {}, thumbs.map(button)));
}

/** @type {(entry: Picture, collection: string, search: Handlers["search"]) => Thumb} */
export const exampleThumb = (entry, collection, search) => [
  thumbnailUrl(entry.id, collection, 96),
  entry.credit ? `${entry.name} · ${entry.credit.author}, ${entry.credit.licence}` : entry.path,
  `Search with example ${entry.name}`,
  () => search(entry),
];
