// A search as data: what is asked, of which collection, and how the answer is shown. States are never changed, only
// replaced; nothing here draws or asks. As an address and as a form it has the names of docs/app.md.

export const SORTS = { similarity: "Most alike", newest: "Newest", oldest: "Oldest", name: "Name", largest: "Largest" };
export const SHAPES = { landscape: "Landscape", portrait: "Portrait", square: "Square" };
const NO_FILTERS = { labels: [], after: "", before: "", min_side: "", max_side: "", shape: "" };
const OPTIONS = { k: 12, threshold: 0, sort: "similarity", fold: true, exact: false };
const ORDER = ["image", "query", "url", "id", "text"]; // in which the API gives regions to pictures

let made = 0;

/** A part with a key of its own; `given` is {file}, {url}, {id, source} or {text}, with a name. */
export const part = (given) => Object.freeze({ region: null, ...given, key: `p${(made += 1)}` });

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

/** The same options and filters with nothing asked. */
export const emptied = (state) => ({ ...state, parts: [], like: [], dislike: [], exact: false, browse: null });
export const isAsked = (state) => state.parts.length + state.like.length > 0;

export const asking = (state, ...parts) => ({ ...emptied(state), parts });
export const adding = (state, ...parts) => ({ ...state, browse: null, exact: false, parts: [...state.parts, ...parts] });
export const changing = (state, key, change) => ({
  ...state,
  parts: state.parts.map((each) => (each.key === key ? Object.freeze({ ...each, ...change }) : each)),
});

/** Without a part, or without a liked or disliked picture; what nothing is asked by any more is empty. */
export function without(state, key) {
  const left = {
    ...state,
    parts: state.parts.filter((each) => each.key !== key),
    like: state.like.filter((each) => `like${each.id}` !== key),
    dislike: state.dislike.filter((each) => `dislike${each.id}` !== key),
  };
  return isAsked(left) ? left : emptied(left);
}

/** More (or less) like a picture; once more takes that back. */
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

export const markOf = (state, id) => ["like", "dislike"].find((role) => state[role].some((each) => each.id === id));

/** The same question to another collection: its folders are others, and marks are pictures of the one left. */
export function moving(state, collection) {
  const liked = state.like.map((each) => part({ id: each.id, source: state.collection, name: each.name }));
  const parts = [...state.parts, ...(state.parts.length ? [] : liked)];
  const filters = { ...state.filters, labels: [] };
  return { ...state, collection, parts, like: [], dislike: [], filters, exact: false, browse: state.browse && 0 };
}

/** The filters that are on, as [name, value, what is said]. */
export function activeFilters({ filters }) {
  const said = {
    after: (day) => `From ${day}`,
    before: (day) => `Until ${day}`,
    min_side: (side) => `${side} px or more`,
    max_side: (side) => `${side} px or less`,
    shape: (shape) => SHAPES[shape],
  };
  return [
    ...filters.labels.map((label) => ["labels", label, label]),
    ...Object.keys(said).flatMap((name) => (filters[name] ? [[name, filters[name], said[name](filters[name])]] : [])),
  ];
}

export const filtering = (state, change) => ({
  ...state,
  browse: state.browse && 0,
  filters: { ...state.filters, ...change },
});
export const unfiltered = (state) => filtering(state, NO_FILTERS);
export function unfiltering(state, name, value) {
  return filtering(state, { [name]: name === "labels" ? state.filters.labels.filter((each) => each !== value) : "" });
}

/** With the server's tags of the pictures that it was sent or fetched, in its own order. */
export function tagged(state, tags) {
  const kept = ordered(state.parts).filter((each) => !each.text && each.id === undefined);
  const tagOf = new Map(kept.map((each, at) => [each.key, tags[at]]));
  const parts = state.parts.map((each) =>
    tagOf.get(each.key) ? Object.freeze({ ...each, tag: tagOf.get(each.key), isKnown: true }) : each,
  );
  return { ...state, parts };
}

/** To be sent anew, after the server forgot; null if there is a picture that only it had. */
export function untagged(state) {
  const tags = state.parts.filter((each) => each.tag);
  if (!tags.length || tags.some((each) => !each.file && !each.url)) return null;
  return { ...state, parts: state.parts.map((each) => Object.freeze({ ...each, tag: null })) };
}

const kindOf = (each) => {
  if (each.tag) return "query";
  if (each.file) return "image";
  return each.url ? "url" : each.text ? "text" : "id";
};
const ordered = (parts) => [...parts].sort((a, b) => ORDER.indexOf(kindOf(a)) - ORDER.indexOf(kindOf(b)));

function fieldsOf(state, valueOf) {
  const pictures = ordered(state.parts).filter((each) => !each.text);
  const regions = pictures.map((each) => each.region?.map((side) => +side.toFixed(4)).join() ?? "");
  while (regions.at(-1) === "") regions.pop();
  return [
    ...ordered(state.parts).flatMap(valueOf),
    ...regions.map((region) => ["region", region]),
    ...["like", "dislike"].flatMap((role) => state[role].map((each) => [role, each.id])),
    ...state.filters.labels.map((label) => ["label", label]),
    ...["after", "before", "min_side", "max_side", "shape"].flatMap((name) =>
      state.filters[name] ? [[name, state.filters[name]]] : [],
    ),
    ...Object.keys(OPTIONS).flatMap((name) => (state[name] === OPTIONS[name] ? [] : [[name, state[name]]])),
  ];
}

/** Pictures of the collection by id; if one is of another, each has its own beside it. */
function idsOf(state, each) {
  const isElsewhere = state.parts.some(({ id, source }) => id !== undefined && source !== state.collection);
  return isElsewhere ? [["id", each.id], ["from", each.source]] : [["id", each.id]];
}

/** What the API is sent. */
export function toForm(state) {
  const form = new FormData();
  const valueOf = (each) => {
    const kind = kindOf(each);
    if (kind === "image") return [["image", each.file]];
    return kind === "id" ? idsOf(state, each) : [[kind, kind === "query" ? each.tag : each[kind]]];
  };
  for (const [name, value] of fieldsOf(state, valueOf)) form.append(name, value);
  for (const name of ["k", "fold"]) form.set(name, state[name]);
  form.set("in", state.collection);
  return form;
}

/** The address that repeats a search; of uploads it has the server's tags. */
export function toParams(state) {
  const params = new URLSearchParams();
  params.set("in", state.collection);
  if (state.browse !== null) params.set("browse", state.browse);
  const valueOf = (each) => {
    if (each.url) return [["url", each.url]];
    const kind = kindOf(each);
    if (kind === "id") return idsOf(state, each);
    return kind === "image" ? [] : [[kind, kind === "query" ? each.tag : each[kind]]];
  };
  // A picture that is asked with by its address stands where addresses stand, whatever the server remembers of it.
  const addressed = { ...state, parts: state.parts.map((each) => (each.url ? { ...each, tag: null, file: null } : each)) };
  for (const [name, value] of fieldsOf(addressed, valueOf)) params.append(name, value);
  return params;
}

/** A state from an address; what makes no sense is left to the API to refuse. */
export function fromParams(params, collection) {
  const all = (name) => params.getAll(name).filter(Boolean);
  const sources = params.getAll("from");
  const regions = params.getAll("region").map((text) => (text ? text.split(",").map(Number) : null));
  const pictures = [
    ...all("query").map((tag) => ({ tag, name: "the picture of this link" })),
    ...all("url").map((url) => ({ url, name: nameOfUrl(url) })),
    ...all("id").map((id, at) => ({ id: Number(id), source: sources[at] ?? sources[0] ?? params.get("in") ?? collection })),
  ].map((given, at) => part({ ...given, region: isRegion(regions[at]) ? regions[at] : null }));
  const texts = all("text").slice(0, 1).map((text) => part({ text, name: text }));
  const marks = (role) => all(role).map((id) => ({ id: Number(id) }));
  const filters = { ...NO_FILTERS, labels: all("label") };
  for (const name of ["after", "before", "min_side", "max_side", "shape"]) filters[name] = params.get(name) ?? "";
  const number = (name, low, high, otherwise = low) => Math.min(high, Math.max(low, Math.round(Number(params.get(name) || NaN)) || otherwise));
  return empty(params.get("in") || collection, {
    parts: [...pictures, ...texts],
    like: marks("like"),
    dislike: marks("dislike"),
    filters,
    k: number("k", 1, 200, OPTIONS.k),
    threshold: number("threshold", 0, 100),
    sort: params.get("sort") in SORTS ? params.get("sort") : OPTIONS.sort,
    fold: params.get("fold") !== "false",
    exact: params.get("exact") === "true",
    browse: params.has("browse") ? number("browse", 0, 1e9) : null,
  });
}

const isRegion = (region) => region?.length === 4 && region.every(Number.isFinite);

export function nameOfUrl(url) {
  try {
    const { hostname, pathname } = new URL(url);
    return decodeURIComponent(pathname.split("/").pop()) || hostname;
  } catch {
    return url.slice(0, 60);
  }
}

/** What is searched for, in a few words: the first thing, and how many more. */
export function titleOf(state) {
  const first = state.parts[0] ?? state.like[0];
  const more = state.parts.length + state.like.length - 1;
  return { name: first?.name ?? "", isText: Boolean(first?.text), more: Math.max(0, more) };
}
