// One picture large: what is known of it, beside the picture searched with, and why it was found.

import { imageUrl, thumbnailUrl } from "./api.js";
import { el, finder, icon, targetOf } from "./dom.js";
import { creditLine, percent } from "./tiles.js";
import { showWhy } from "./why.js";

/** @import { Entry, Handlers, Hit, Properties, Role } from "./types.d.ts" */

/** @typedef {keyof typeof TABS} Tab */
/** @typedef {Parameters<typeof icon>[0]} Icon */
/**
 * What is shown beside a picture and done with it: `hits` are those to step through, `compared` is the picture searched
 * with, as far as it can be seen; for `makeForm` and `asked` see `reportOf`.
 * @typedef {object} Context
 * @property {string} collection
 * @property {Entry[]} hits
 * @property {{ src: string | null, name: string | undefined } | undefined} compared
 * @property {object} asked
 * @property {() => FormData} makeForm
 * @property {(id: number) => void} searchWith
 * @property {(id: number) => Role | undefined} markOf
 * @property {Handlers["mark"] | null} mark
 * @property {(entry: Entry) => void} search
 * @property {(entry: Entry) => void} add
 */

/** @type {Intl.DateTimeFormatOptions} */
const WHEN = { dateStyle: "medium", timeStyle: "short" };
const TABS = { details: "Details", beside: "Side by side", why: "Why?" };

/**
 * Show a picture in a dialog.
 * @param {Entry} entry
 * @param {Context} context
 * @returns {HTMLDialogElement}
 */
export function showDetails(entry, context) {
  let at = Math.max(0, context.hits.findIndex((each) => each.id === entry.id));
  /** @type {Tab} */
  let tab = "details";
  const body = el("div", { class: "lk-details-body" });
  const closing = new AbortController();
  const closed = () => {
    closing.abort();
    dialog.remove();
  };
  /** @type {HTMLDialogElement} */
  const dialog = el("dialog", { class: "lk-dialog lk-details", "aria-labelledby": "lk-details-name", onclose: closed }, body);
  const current = () => context.hits[at] ?? entry;
  /** @param {number} by */
  const step = (by) => {
    at = (at + by + context.hits.length) % context.hits.length;
    draw();
  };
  /** @param {Tab} name */
  const choose = (name) => {
    tab = name;
    draw();
    finder(dialog)(`[role=tab][data-tab="${name}"]`).focus();
  };
  function draw() {
    const hit = current();
    const focused = document.activeElement?.getAttribute("data-act");
    body.replaceChildren(head(hit, { step, many: context.hits.length > 1, close: () => dialog.close() }), tabs(tab, hit, context, choose), panel(tab, hit, { ...context, closing: closing.signal }, dialog));
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`[data-act="${focused}"]`))?.focus();
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (targetOf(event)?.closest("input, [role=tab]")) return;
    if (context.hits.length > 1 && ["ArrowLeft", "ArrowRight"].includes(event.key)) step(event.key === "ArrowLeft" ? -1 : 1);
  });
  finder(document)("#lk-shell").append(dialog);
  draw();
  dialog.showModal();
  return dialog;
}

/**
 * @param {Entry} hit
 * @param {{ step: (by: number) => void, many: boolean, close: () => void }} handlers
 */
function head(hit, { step, many, close }) {
  /** @type {(act: string, name: Icon, label: string, onclick: () => void) => HTMLElement} */
  const button = (act, name, label, onclick) =>
    el("button", { type: "button", class: "lk-button is-quiet", "data-act": act, "aria-label": label, title: label, onclick }, icon(name));
  return el(
    "div",
    { class: "lk-details-head" },
    el("h2", { id: "lk-details-name", title: hit.path }, hit.name),
    ...(many ? [button("previous", "back", "Previous picture", () => step(-1)), button("next", "forward", "Next picture", () => step(1))] : []),
    button("close", "close", "Close", close),
  );
}

/**
 * @param {Entry} entry
 * @returns {entry is Hit}
 */
const isHit = (entry) => entry.similarity !== undefined;

/**
 * @param {Tab} tab
 * @param {Entry} hit
 * @param {Context} context
 * @param {(name: Tab) => void} choose
 */
function tabs(tab, hit, context, choose) {
  const names = /** @type {Tab[]} */ (Object.keys(TABS));
  const offered = names.filter((name) => name === "details" || (isHit(hit) && (name !== "beside" || context.compared)));
  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (by) choose(offered[(offered.indexOf(tab) + by + offered.length) % offered.length]);
  };
  /** @param {Tab} name */
  const one = (name) =>
    el(
      "button",
      { type: "button", role: "tab", "data-tab": name, "aria-selected": String(name === tab), "aria-controls": "lk-details-panel", tabIndex: name === tab ? 0 : -1, onclick: () => choose(name) },
      TABS[name],
    );
  return el("div", { class: "lk-tabs", role: "tablist", "aria-label": "About this picture", onkeydown: move }, offered.map(one));
}

/**
 * @param {Tab} tab
 * @param {Entry} hit
 * @param {Context & { closing: AbortSignal }} context
 * @param {HTMLDialogElement} dialog
 */
function panel(tab, hit, context, dialog) {
  const root = el("div", { id: "lk-details-panel", class: "lk-details-panel", role: "tabpanel", tabIndex: 0, "aria-label": TABS[tab] });
  if (tab === "details") root.append(large(hit, context), el("div", { class: "lk-details-side" }, facts(hit), acts(hit, context, dialog)));
  if (tab === "beside" && isHit(hit)) root.append(beside(hit, context));
  if (tab === "why") why(root, hit, context, dialog);
  return root;
}

/** @type {(hit: Entry, context: Context) => HTMLElement} */
const large = (hit, { collection }) =>
  el(
    "a",
    { class: "lk-large", href: imageUrl(hit.id, collection), target: "_blank", rel: "noopener", title: "Open large, in a tab of its own" },
    el("img", { src: thumbnailUrl(hit.id, collection, 640), alt: hit.name }),
  );

/**
 * @param {Hit} hit
 * @param {Context} context
 */
function beside(hit, { collection, compared }) {
  /** @type {(src: string | null | undefined, name: string) => HTMLElement} */
  const figure = (src, name) => el("figure", {}, el("img", { src, alt: name }), el("figcaption", {}, name));
  return el(
    "div",
    { class: "lk-beside" },
    figure(compared?.src, `Searched with: ${compared?.name ?? "a picture"}`),
    figure(thumbnailUrl(hit.id, collection, 640), `Found: ${percent(hit.similarity)}, ${hit.word}`),
  );
}

/** @param {number} bytes */
const sizes = (bytes) => {
  const [one, unit] = bytes < 1e6 ? /** @type {const} */ ([1e3, "kB"]) : /** @type {const} */ ([1e6, "MB"]);
  return `${(bytes / one).toFixed(bytes < 1e4 || bytes >= 1e6 ? 1 : 0)} ${unit}`;
};

/** @param {Entry} hit */
function facts(hit) {
  const size = [`${hit.width} × ${hit.height}`, hit.format, hit.bytes && sizes(hit.bytes)];
  /** @type {[string, string | null | undefined][]} */
  const known = [
    ["Path", hit.path],
    ["Folder", hit.label],
    ["Size", hit.width ? size.filter(Boolean).join(" · ") : null],
    ["Changed", hit.modified ? new Date(hit.modified).toLocaleString([], WHEN) : null],
    ["Similarity", isHit(hit) ? `${percent(hit.similarity)}, ${hit.word}` : null],
    ["Cosine", hit.cosine?.toFixed(4)],
    ["Distance", hit.distance?.toFixed(4)],
  ];
  const rows = known.flatMap(([name, value]) => (value ? [el("dt", {}, name), el("dd", {}, value)] : []));
  return [el("dl", { class: "lk-known" }, rows), ...[creditLine(hit.credit)].filter(Boolean)];
}

/**
 * @param {Entry} hit
 * @param {Context} context
 * @param {HTMLDialogElement} dialog
 */
function acts(hit, context, dialog) {
  /** @type {(act: () => void) => () => void} */
  const closing = (act) => () => {
    dialog.close();
    act();
  };
  /** @type {(act: string, name: Icon, label: string, go: Properties["onclick"], more?: Properties) => HTMLElement} */
  const button = (act, name, label, onclick, properties = {}) =>
    el("button", { type: "button", class: "lk-button", "data-act": act, onclick, ...properties }, icon(name, 17), label);
  /** @type {(name: Icon, label: string, properties: Properties) => HTMLElement} */
  const link = (name, label, properties) => el("a", { class: "lk-button", href: imageUrl(hit.id, context.collection), ...properties }, icon(name, 17), label);
  const marked = context.markOf(hit.id);
  const copying = button("copy", "copy", "Copy path", () => copy(hit.path, copying));
  /** @type {(role: Role, label: string) => HTMLElement} */
  const mark = (role, label) =>
    button(`mark-${role}`, role, label, closing(() => context.mark?.(role, hit)), { "aria-pressed": String(marked === role) });
  return el(
    "div",
    { class: "lk-details-acts" },
    button("search", "search", "Search with it", closing(() => context.search(hit)), { class: "lk-button is-primary" }),
    button("add", "plus", "Add to the search", closing(() => context.add(hit))),
    ...(context.mark ? [mark("like", "More like this"), mark("dislike", "Less like this")] : []),
    link("open", "Open large", { target: "_blank", rel: "noopener" }),
    link("download", "Download", { download: hit.name }),
    copying,
  );
}

/**
 * @param {string} text
 * @param {HTMLElement} button
 */
async function copy(text, button) {
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said = "Not allowed here";
  }
  button.lastChild?.replaceWith(said);
}

/**
 * @param {HTMLElement} root
 * @param {Entry} hit
 * @param {Context & { closing: AbortSignal }} context
 * @param {HTMLDialogElement} dialog
 */
function why(root, hit, { makeForm, asked, closing, collection, searchWith }, dialog) {
  const place = el("div", {});
  root.classList.add("is-why");
  root.append(place);
  /** @param {number} id */
  const leave = (id) => {
    dialog.close();
    searchWith(id);
  };
  showWhy(place, { makeForm, asked, closing, hit, collection, searchWith: leave });
}
