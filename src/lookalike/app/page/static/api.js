// The REST API of docs/app.md, as the page uses it.

// What the server has against a request comes as an answer, so that the browser does not report it as the page's error.
const PAGE = { "X-Lookalike-Page": "1" };
const BASE = new URL("api/", document.baseURI);

/** What the server, or the way to it, has against a request. */
export class ApiError extends Error {
  constructor(type, message, status = 0) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

export async function call(path, options = {}) {
  const response = await sent(path, options);
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!response.ok || body?.error) throw refusal(response, body);
  return body;
}

async function sent(path, options) {
  try {
    return await fetch(new URL(path, BASE), { ...options, headers: { ...PAGE, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Unreachable", "Is lookalike still running in its terminal?");
  }
}

function refusal(response, body) {
  const { type = "HTTPError", message = `The server answered ${response.status}.` } = body?.error ?? {};
  return new ApiError(type, message, response.status);
}

/** The page of a search, as text; it is only ever shown in a frame without an origin. */
export async function explain(form, signal) {
  const response = await sent("explain", { method: "POST", body: form, signal });
  if (response.ok && response.headers.get("content-type")?.startsWith("text/html")) return response.text();
  throw refusal(response, await response.json().catch(() => null));
}

const inside = (collection) => `in=${encodeURIComponent(collection)}`;

/** Search with a form of `query.js`; what the server has against it is thrown. */
export const search = (form, signal) => call("page/search", { method: "POST", body: form, signal });

export const health = () => call("health");
export const collections = () => call("collections");
export const picture = (id, collection) => call(`pictures/${id}?${inside(collection)}`);
export const status = (collection) => call(`status?${inside(collection)}`);
export const labels = (collection) => call(`labels?${inside(collection)}`);
export const examples = (collection, n, page = 0) => call(`examples?${inside(collection)}&n=${n}&page=${page}`);
export const pictures = (collection, offset, limit, { labels: chosen, ...others }) => {
  const wanted = new URLSearchParams({ in: collection, offset, limit });
  for (const label of chosen) wanted.append("label", label);
  for (const [name, value] of Object.entries(others)) if (value) wanted.set(name, value);
  return call(`pictures?${wanted}`);
};
export const thumbnailUrl = (id, collection, side) =>
  new URL(`thumbnails/${id}?${inside(collection)}&side=${side}`, BASE).href;
export const imageUrl = (id, collection) => new URL(`images/${id}?${inside(collection)}`, BASE).href;
export const queryUrl = (tag) => new URL(`queries/${encodeURIComponent(tag)}`, BASE).href;

/** Where a part of a query can be seen; null for words. */
export function sourceOf(part, side = 640) {
  if (part.text) return null;
  if (part.id !== undefined) return part.name === undefined ? null : thumbnailUrl(part.id, part.source, side);
  if (part.file && !undrawable.has(part.file)) return objectUrl(part.file);
  return part.tag && part.isKnown ? queryUrl(part.tag) : null;
}

/** Remember that the browser cannot draw a file; false if that was known. */
export function markUndrawable(file) {
  const isNew = !undrawable.has(file);
  undrawable.add(file);
  return isNew;
}

const undrawable = new WeakSet();
const objectUrls = new WeakMap();
function objectUrl(file) {
  if (!objectUrls.has(file)) objectUrls.set(file, URL.createObjectURL(file));
  return objectUrls.get(file);
}
