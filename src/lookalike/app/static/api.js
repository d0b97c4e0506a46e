// The REST API of docs/app.md, as the page uses it.

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
  let response;
  try {
    response = await fetch(new URL(path, BASE), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Unreachable", "Is lookalike still running in its terminal?");
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!response.ok) {
    const { type = "HTTPError", message = `The server answered ${response.status}.` } = body?.error ?? {};
    throw new ApiError(type, message, response.status);
  }
  return body;
}

const inside = (collection) => `in=${encodeURIComponent(collection)}`;

/** What `search` sends; `query` is {file}, {url} or {id, collection}. */
export function searchForm(query, collection, k) {
  const form = new FormData();
  if (query.file) form.append("image", query.file, query.file.name || "picture");
  else if (query.url) form.append("url", query.url);
  else {
    form.append("id", query.id);
    form.append("from", query.collection);
  }
  form.append("in", collection);
  form.append("k", k);
  return form;
}

export async function search(query, collection, k, signal) {
  const body = searchForm(query, collection, k);
  const answer = await call("page/search", { method: "POST", body, signal });
  if (answer.error) throw new ApiError(answer.error.type, answer.error.message);
  return answer;
}

export const picture = (id, collection) => call(`pictures/${id}?${inside(collection)}`);
export const status = (collection) => call(`status?${inside(collection)}`);
export const examples = (collection, n) => call(`examples?${inside(collection)}&n=${n}`);
export const thumbnailUrl = (id, collection, side) =>
  new URL(`thumbnails/${id}?${inside(collection)}&side=${side}`, BASE).href;
export const imageUrl = (id, collection) => new URL(`images/${id}?${inside(collection)}`, BASE).href;
export const queryUrl = (tag) => new URL(`queries/${tag}`, BASE).href;
