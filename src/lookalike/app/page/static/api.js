// The REST API of docs/app.md, as the page uses it.

/** @import { Answer, Collections, Filters, Label, Page, Part, Picture, Refused, Status } from "./types.d.ts" */
/** @typedef {Omit<RequestInit, "headers"> & { headers?: Record<string, string> }} Options */

// What the server has against a request comes as an answer, so that the browser does not report it as the page's error.
const PAGE = { "X-Lookalike-Page": "1" };
const BASE = new URL("api/", document.baseURI);

/** What the server, or the way to it, has against a request. */
export class ApiError extends Error {
  /**
   * @param {string} type
   * @param {string} message
   * @param {number} [status]
   */
  constructor(type, message, status = 0) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

/**
 * Ask the API. What it has against a request is thrown; what it answers otherwise is the caller's to name.
 * @template [T=unknown]
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<T>}
 */
export async function call(path, options = {}) {
  const response = await sent(path, options);
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (isAborted(error)) throw error;
  }
  // A job has an `error` too: text, and nothing that is against the request.
  if (!response.ok || body?.error?.type) throw refusal(response, body);
  return body;
}

/**
 * Whether somebody stopped waiting for an answer.
 * @type {(error: unknown) => boolean}
 */
export const isAborted = (error) => error instanceof Error && error.name === "AbortError";

/**
 * @param {string} path
 * @param {Options} options
 */
async function sent(path, options) {
  try {
    return await fetch(new URL(path, BASE), { ...options, headers: { ...PAGE, ...options.headers } });
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new ApiError("Unreachable", "Is lookalike still running in its terminal?");
  }
}

/**
 * @param {Response} response
 * @param {{ error?: Partial<Refused> } | null} body
 */
function refusal(response, body) {
  const { type = "HTTPError", message = `The server answered ${response.status}.` } = body?.error ?? {};
  return new ApiError(type, message, response.status);
}

/**
 * The page of a search, as text; it is only ever shown in a frame without an origin.
 * @param {FormData} form
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function explain(form, signal) {
  const response = await sent("explain", { method: "POST", body: form, signal });
  if (response.ok && response.headers.get("content-type")?.startsWith("text/html")) return response.text();
  throw refusal(response, await response.json().catch(() => null));
}

/** @param {string} collection */
const inside = (collection) => `in=${encodeURIComponent(collection)}`;

/**
 * Search with a form of `query.js`; what the server has against it is thrown.
 * @type {(form: FormData, signal: AbortSignal) => Promise<Answer>}
 */
export const search = (form, signal) => call("page/search", { method: "POST", body: form, signal });

/** @type {() => Promise<unknown>} */
export const health = () => call("health");
/** @type {() => Promise<Collections>} */
export const collections = () => call("collections");
/** @type {(id: number, collection: string) => Promise<Picture>} */
export const picture = (id, collection) => call(`pictures/${id}?${inside(collection)}`);
/** @type {(collection: string) => Promise<Status>} */
export const status = (collection) => call(`status?${inside(collection)}`);
/** @type {(collection: string) => Promise<{ labels: Label[] }>} */
export const labels = (collection) => call(`labels?${inside(collection)}`);
/** @type {(collection: string, n: number, page?: number) => Promise<{ examples: Picture[] }>} */
export const examples = (collection, n, page = 0) => call(`examples?${inside(collection)}&n=${n}&page=${page}`);
/** @type {(collection: string, offset: number, limit: number, filters: Filters) => Promise<Page>} */
export const pictures = (collection, offset, limit, { labels: chosen, ...others }) => {
  const wanted = new URLSearchParams({ in: collection, offset: String(offset), limit: String(limit) });
  for (const label of chosen) wanted.append("label", label);
  for (const [name, value] of Object.entries(others)) if (value) wanted.set(name, value);
  return call(`pictures?${wanted}`);
};
/** @type {(id: number, collection: string, side: number) => string} */
export const thumbnailUrl = (id, collection, side) =>
  new URL(`thumbnails/${id}?${inside(collection)}&side=${side}`, BASE).href;
/** @type {(id: number, collection: string) => string} */
export const imageUrl = (id, collection) => new URL(`images/${id}?${inside(collection)}`, BASE).href;
/** @type {(tag: string) => string} */
export const queryUrl = (tag) => new URL(`queries/${encodeURIComponent(tag)}`, BASE).href;

/**
 * Where a part of a query can be seen; null for words.
 * @param {Part} part
 * @param {number} [side]
 * @returns {string | null}
 */
export function sourceOf(part, side = 640) {
  if (part.text) return null;
  if (part.id !== undefined && part.source !== undefined) {
    return part.name === undefined ? null : thumbnailUrl(part.id, part.source, side);
  }
  if (part.file && !undrawable.has(part.file)) return objectUrl(part.file);
  return part.tag && part.isKnown ? queryUrl(part.tag) : null;
}

/**
 * Remember that the browser cannot draw a file; false if that was known.
 * @param {File} file
 * @returns {boolean}
 */
export function markUndrawable(file) {
  const isNew = !undrawable.has(file);
  undrawable.add(file);
  return isNew;
}

/** @type {WeakSet<File>} */
const undrawable = new WeakSet();
/** @type {WeakMap<File, string>} */
const objectUrls = new WeakMap();
/** @param {File} file */
function objectUrl(file) {
  const url = objectUrls.get(file) ?? URL.createObjectURL(file);
  objectUrls.set(file, url);
  return url;
}
