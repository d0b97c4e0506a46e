// A search as data: what is asked, of which collection, and how the answer is shown. States are never changed, only
// replaced; nothing here draws or asks. As an address and as a form it has the names of docs/app.md.

/** @import { Filters, Given, Mark, Part, Region, Role, Sort, State } from "./types.d.ts" */

/** @type {Record<Sort, string>} */
export const SORTS = { similarity: "Most alike", newest: "Newest", oldest: "Oldest", name: "Name", largest: "Largest" };
/** @type {Record<string, string>} */
export const SHAPES = { landscape: "Landscape", portrait: "Portrait", square: "Square" };
/** @type {Filters} */
const NO_FILTERS = { labels: [], after: "", before: "", min_side: "", max_side: "", shape: "" };
/** @type {Pick<State, "k" | "threshold" | "sort" | "fold" | "exact">} */
const OPTIONS = { k: 12, threshold: 0, sort: "similarity", fold: true, exact: false };
/** @typedef {Exclude<keyof Filters, "labels">} TextFilter */
/** @type {TextFilter[]} */
const TEXT_FILTERS = ["after", "before", "min_side", "max_side", "shape"];
/** @type {Role[]} */
export const ROLES = ["like", "dislike"];
const OPTION_NAMES = /** @type {(keyof typeof OPTIONS)[]} */ (Object.keys(OPTIONS));
const ORDER = ["image", "query", "url", "id", "text"]; // in which the API gives regions to pictures

let made = 0;

/**
 * A part with a key of its own; `given` is {file}, {url}, {id, source} or {text}, with a name.
 * @type {(given: Given) => Part}
 */
export const part = (given) => Object.freeze({ region: null, ...given, key: `p${(made += 1)}` });

/** @type {(collection: string, options?: Partial<State>) => State} */
export const empty = (collection, options = {}) => ({
  collection,
  parts: [],
  like: [],
  dislike: [],
  filters: NO_FILTERS,
  ...OPTIONS,
  browse: null,
  ...options,
});

/**
 * The same options and filters with nothing asked.
 * @type {(state: State) => State}
 */
export const emptied = (state) => ({ ...state, parts: [], like: [], dislike: [], exact: false, browse: null });
/** @type {(state: State) => boolean} */
export const isAsked = (state) => state.parts.length + state.like.length > 0;

/** @type {(state: State, ...parts: Part[]) => State} */
export const asking = (state, ...parts) => ({ ...emptied(state), parts });
/** @type {(state: State, ...parts: Part[]) => State} */
export const adding = (state, ...parts) => ({ ...state, browse: null, exact: false, parts: [...state.parts, ...parts] });
/** @type {(state: State, key: string | null, change: Partial<Part>) => State} */
export const changing = (state, key, change) => ({
  ...state,
  parts: state.parts.map((each) => (each.key === key ? Object.freeze({ ...each, ...change }) : each)),
});

/**
 * Without a part, or without a liked or disliked picture; what nothing is asked by any more is empty.
 * @param {State} state
 * @param {string} key
 * @returns {State}
 */
export function without(state, key) {
  const left = {
    ...state,
    parts: state.parts.filter((each) => each.key !== key),
    like: state.like.filter((each) => `like${each.id}` !== key),
    dislike: state.dislike.filter((each) => `dislike${each.id}` !== key),
  };
  return isAsked(left) ? left : emptied(left);
}

/**
 * More (or less) like a picture; once more takes that back.
 * @param {State} state
 * @param {Role} role
 * @param {Mark} picture
 * @returns {State}
 */
export function marking(state, role, picture) {
  const other = role === "like" ? "dislike" : "like";
  const had = state[role].some((each) => each.id === picture.id);
  const rest = state[role].filter((each) => each.id !== picture.id);
  return {
    ...state,
    browse: null,
    [role]: had ? rest : [...rest, picture],
    [other]: state[other].filter((each) => each.id !== picture.id),
  };
}

/** @type {(state: State, id: number) => Role | undefined} */
export const markOf = (state, id) => ROLES.find((role) => state[role].some((each) => each.id === id));

/**
 * The same question to another collection: its folders are others, and marks are pictures of the one left.
 * @param {State} state
 * @param {string} collection
 * @returns {State}
 */
export function moving(state, collection) {
  const liked = state.like.map((each) => part({ id: each.id, source: state.collection, name: each.name }));
  const parts = [...state.parts, ...(state.parts.length ? [] : liked)];
  const filters = { ...state.filters, labels: [] };
  return { ...state, collection, parts, like: [], dislike: [], filters, exact: false, browse: state.browse && 0 };
}

/** @typedef {[name: keyof Filters, value: string, said: string]} Active */

/**
 * The filters that are on, as [name, value, what is said].
 * @param {State} state
 * @returns {Active[]}
 */
export function activeFilters({ filters }) {
  /** @type {Record<TextFilter, (value: string) => string>} */
  const said = {
    after: (day) => `From ${day}`,
    before: (day) => `Until ${day}`,
    min_side: (side) => `${side} px or more`,
    max_side: (side) => `${side} px or less`,
    shape: (shape) => SHAPES[shape],
  };
  const on = TEXT_FILTERS.filter((name) => filters[name]);
  return [
    ...filters.labels.map((label) => /** @type {Active} */ (["labels", label, label])),
    ...on.map((name) => /** @type {Active} */ ([name, filters[name], said[name](filters[name])])),
  ];
}

/** @type {(state: State, change: Partial<Filters>) => State} */
export const filtering = (state, change) => ({
  ...state,
  browse: state.browse && 0,
  filters: { ...state.filters, ...change },
});
/** @type {(state: State) => State} */
export const unfiltered = (state) => filtering(state, NO_FILTERS);
/**
 * Without one filter, or one of the folders.
 * @param {State} state
 * @param {keyof Filters} name
 * @param {string} value
 * @returns {State}
 */
export function unfiltering(state, name, value) {
  return filtering(state, { [name]: name === "labels" ? state.filters.labels.filter((each) => each !== value) : "" });
}

/**
 * With the server's tags of the pictures that it was sent or fetched, in its own order.
 * @param {State} state
 * @param {string[]} tags
 * @returns {State}
 */
export function tagged(state, tags) {
  const kept = ordered(state.parts).filter((each) => !each.text && each.id === undefined);
  const tagOf = new Map(kept.map((each, at) => [each.key, tags[at]]));
  const parts = state.parts.map((each) =>
    tagOf.get(each.key) ? Object.freeze({ ...each, tag: tagOf.get(each.key), isKnown: true }) : each,
  );
  return { ...state, parts };
}

/**
 * To be sent anew, after the server forgot; null if there is a picture that only it had.
 * @param {State} state
 * @returns {State | null}
 */
export function untagged(state) {
  const tags = state.parts.filter((each) => each.tag);
  if (!tags.length || tags.some((each) => !each.file && !each.url)) return null;
  return { ...state, parts: state.parts.map((each) => Object.freeze({ ...each, tag: null })) };
}

/** @param {Part} each */
const kindOf = (each) => {
  if (each.tag) return "query";
  if (each.file) return "image";
  return each.url ? "url" : each.text ? "text" : "id";
};
/** @param {Part[]} parts */
const ordered = (parts) => [...parts].sort((a, b) => ORDER.indexOf(kindOf(a)) - ORDER.indexOf(kindOf(b)));

/** @typedef {[name: string, value: string | number | boolean | File]} Field */

/**
 * @param {State} state
 * @param {(part: Part) => Field[]} valueOf
 * @returns {Field[]}
 */
function fieldsOf(state, valueOf) {
  const pictures = ordered(state.parts).filter((each) => !each.text);
  const regions = pictures.map((each) => each.region?.map((side) => +side.toFixed(4)).join() ?? "");
  while (regions.at(-1) === "") regions.pop();
  /** @type {Field[]} */
  const fields = ordered(state.parts).flatMap(valueOf);
  for (const region of regions) fields.push(["region", region]);
  for (const role of ROLES) for (const { id } of state[role]) fields.push([role, id]);
  for (const label of state.filters.labels) fields.push(["label", label]);
  for (const name of TEXT_FILTERS) if (state.filters[name]) fields.push([name, state.filters[name]]);
  for (const name of OPTION_NAMES) if (state[name] !== OPTIONS[name]) fields.push([name, state[name]]);
  return fields;
}

/**
 * What a part is asked with, by its `kindOf`.
 * @param {State} state
 * @param {Part} each
 * @returns {Field[]}
 */
function valuesOf(state, each) {
  if (each.tag) return [["query", each.tag]];
  if (each.file) return [["image", each.file]];
  if (each.url) return [["url", each.url]];
  return each.text ? [["text", each.text]] : idsOf(state, each);
}

/**
 * Pictures of the collection by id; if one is of another, each has its own beside it.
 * @param {State} state
 * @param {Part} each
 * @returns {Field[]}
 */
function idsOf(state, { id, source = state.collection }) {
  if (id === undefined) return [];
  const isElsewhere = state.parts.some((each) => each.id !== undefined && each.source !== state.collection);
  return isElsewhere ? [["id", id], ["from", source]] : [["id", id]];
}

/**
 * What the API is sent.
 * @param {State} state
 * @returns {FormData}
 */
export function toForm(state) {
  const form = new FormData();
  for (const [name, value] of fieldsOf(state, (each) => valuesOf(state, each))) {
    form.append(name, value instanceof File ? value : String(value));
  }
  form.set("k", String(state.k));
  form.set("fold", String(state.fold));
  form.set("in", state.collection);
  return form;
}

/**
 * The address that repeats a search; of uploads it has the server's tags.
 * @param {State} state
 * @returns {URLSearchParams}
 */
export function toParams(state) {
  const params = new URLSearchParams();
  params.set("in", state.collection);
  if (state.browse !== null) params.set("browse", String(state.browse));
  /** @param {Part} each */
  const valueOf = (each) => (kindOf(each) === "image" ? [] : valuesOf(state, each));
  // A picture that is asked with by its address stands where addresses stand, whatever the server remembers of it.
  const addressed = { ...state, parts: state.parts.map((each) => (each.url ? { ...each, tag: null, file: null } : each)) };
  for (const [name, value] of fieldsOf(addressed, valueOf)) params.append(name, String(value));
  return params;
}

/**
 * A state from an address; what makes no sense is left to the API to refuse.
 * @param {URLSearchParams} params
 * @param {string} collection
 * @returns {State}
 */
export function fromParams(params, collection) {
  /** @param {string} name */
  const all = (name) => params.getAll(name).filter(Boolean);
  const sources = params.getAll("from");
  const regions = params.getAll("region").map((text) => (text ? text.split(",").map(Number) : null));
  const pictures = [
    ...all("query").map((tag) => ({ tag, name: "the picture of this link" })),
    ...all("url").map((url) => ({ url, name: nameOfUrl(url) })),
    ...all("id").map((id, at) => ({ id: Number(id), source: sources[at] ?? sources[0] ?? params.get("in") ?? collection })),
  ].map((/** @type {Given} */ given, at) => part({ ...given, region: regionOf(regions[at]) }));
  const texts = all("text").slice(0, 1).map((text) => part({ text, name: text }));
  /** @param {Role} role */
  const marks = (role) => all(role).map((id) => ({ id: Number(id) }));
  const filters = { ...NO_FILTERS, labels: all("label") };
  for (const name of TEXT_FILTERS) filters[name] = params.get(name) ?? "";
  /** @type {(name: string, low: number, high: number, otherwise?: number) => number} */
  const number = (name, low, high, otherwise = low) => Math.min(high, Math.max(low, Math.round(Number(params.get(name) || NaN)) || otherwise));
  const sort = params.get("sort") ?? "";
  return empty(params.get("in") || collection, {
    parts: [...pictures, ...texts],
    like: marks("like"),
    dislike: marks("dislike"),
    filters,
    k: number("k", 1, 200, OPTIONS.k),
    threshold: number("threshold", 0, 100),
    sort: isSort(sort) ? sort : OPTIONS.sort,
    fold: params.get("fold") !== "false",
    exact: params.get("exact") === "true",
    browse: params.has("browse") ? number("browse", 0, 1e9) : null,
  });
}

/**
 * @param {string} sort
 * @returns {sort is Sort}
 */
const isSort = (sort) => Object.hasOwn(SORTS, sort);

/** @type {(sides: number[] | null | undefined) => Region | null} */
function regionOf(sides) {
  if (sides?.length !== 4 || !sides.every(Number.isFinite)) return null;
  const [x, y, width, height] = sides;
  return [x, y, width, height];
}

/**
 * The file that an address names, else its host.
 * @param {string} url
 * @returns {string}
 */
export function nameOfUrl(url) {
  try {
    const { hostname, pathname } = new URL(url);
    return decodeURIComponent(pathname.split("/").pop() ?? "") || hostname;
  } catch {
    return url.slice(0, 60);
  }
}

/**
 * What is searched for, in a few words: the first thing, and how many more.
 * @param {State} state
 * @returns {{ name: string, isText: boolean, more: number }}
 */
export function titleOf(state) {
  const first = state.parts[0] ?? state.like[0];
  const more = state.parts.length + state.like.length - 1;
  return { name: first?.name ?? "", isText: Boolean(first?.text), more: Math.max(0, more) };
}
