// One picture large: what is known of it, beside the picture searched with, and why it was found.

import { imageUrl, thumbnailUrl } from "./api.js";
import { el, icon } from "./dom.js";
import { creditLine, percent } from "./tiles.js";
import { showWhy } from "./why.js";

const TABS = { details: "Details", beside: "Side by side", why: "Why?" };

/** `context` has collection, hits, compared (src and name, or null), asked and makeForm (see `reportOf`), markOf, and handlers. */
export function showDetails(entry, context) {
  let at = Math.max(0, context.hits.findIndex((each) => each.id === entry.id));
  let tab = "details";
  const body = el("div", { class: "lk-details-body" });
  const closing = new AbortController();
  const closed = () => {
    closing.abort();
    dialog.remove();
  };
  const dialog = el("dialog", { class: "lk-dialog lk-details", "aria-labelledby": "lk-details-name", onclose: closed }, body);
  const current = () => context.hits[at] ?? entry;
  const step = (by) => {
    at = (at + by + context.hits.length) % context.hits.length;
    draw();
  };
  const choose = (name) => {
    tab = name;
    draw();
    dialog.querySelector(`[role=tab][data-tab="${name}"]`).focus();
  };
  function draw() {
    const hit = current();
    const focused = document.activeElement?.dataset?.act;
    body.replaceChildren(head(hit, { step, many: context.hits.length > 1, close: () => dialog.close() }), tabs(tab, hit, context, choose), panel(tab, hit, { ...context, closing: closing.signal }, dialog));
    if (focused) body.querySelector(`[data-act="${focused}"]`)?.focus();
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.closest("input, [role=tab]")) return;
    if (context.hits.length > 1 && ["ArrowLeft", "ArrowRight"].includes(event.key)) step(event.key === "ArrowLeft" ? -1 : 1);
  });
  document.querySelector("#lk-shell").append(dialog);
  draw();
  dialog.showModal();
  return dialog;
}

function head(hit, { step, many, close }) {
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

function tabs(tab, hit, context, choose) {
  const offered = Object.keys(TABS).filter((name) => name === "details" || (hit.similarity !== undefined && (name !== "beside" || context.compared)));
  const move = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) choose(offered[(offered.indexOf(tab) + by + offered.length) % offered.length]);
  };
  const one = (name) =>
    el(
      "button",
      { type: "button", role: "tab", "data-tab": name, "aria-selected": String(name === tab), "aria-controls": "lk-details-panel", tabIndex: name === tab ? 0 : -1, onclick: () => choose(name) },
      TABS[name],
    );
  return el("div", { class: "lk-tabs", role: "tablist", "aria-label": "About this picture", onkeydown: move }, offered.map(one));
}

function panel(tab, hit, context, dialog) {
  const root = el("div", { id: "lk-details-panel", class: "lk-details-panel", role: "tabpanel", tabIndex: 0, "aria-label": TABS[tab] });
  if (tab === "details") root.append(large(hit, context), el("div", { class: "lk-details-side" }, facts(hit), acts(hit, context, dialog)));
  if (tab === "beside") root.append(beside(hit, context));
  if (tab === "why") why(root, hit, context, dialog);
  return root;
}

const large = (hit, { collection }) =>
  el(
    "a",
    { class: "lk-large", href: imageUrl(hit.id, collection), target: "_blank", rel: "noopener", title: "Open large, in a tab of its own" },
    el("img", { src: thumbnailUrl(hit.id, collection, 640), alt: hit.name }),
  );

function beside(hit, { collection, compared }) {
  const figure = (src, name) => el("figure", {}, el("img", { src, alt: name }), el("figcaption", {}, name));
  return el(
    "div",
    { class: "lk-beside" },
    figure(compared.src, `Searched with: ${compared.name}`),
    figure(thumbnailUrl(hit.id, collection, 640), `Found: ${percent(hit.similarity)}, ${hit.word}`),
  );
}

const sizes = (bytes) => {
  const unit = bytes < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
  return `${(bytes / unit[0]).toFixed(bytes < 1e4 || bytes >= 1e6 ? 1 : 0)} ${unit[1]}`;
};

function facts(hit) {
  const rows = [
    ["Path", hit.path],
    ["Folder", hit.label],
    ["Size", hit.width && [`${hit.width} × ${hit.height}`, hit.format, hit.bytes && sizes(hit.bytes)].filter(Boolean).join(" · ")],
    ["Changed", hit.modified && new Date(hit.modified).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })],
    ["Similarity", hit.similarity !== undefined && `${percent(hit.similarity)}, ${hit.word}`],
    ["Cosine", hit.cosine?.toFixed(4)],
    ["Distance", hit.distance?.toFixed(4)],
  ].filter(([, value]) => value);
  return [el("dl", { class: "lk-known" }, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])), ...[creditLine(hit.credit)].filter(Boolean)];
}

function acts(hit, context, dialog) {
  const closing = (act) => () => {
    dialog.close();
    act();
  };
  const button = (act, name, label, onclick, properties = {}) =>
    el("button", { type: "button", class: "lk-button", "data-act": act, onclick, ...properties }, icon(name, 17), label);
  const link = (name, label, properties) => el("a", { class: "lk-button", href: imageUrl(hit.id, context.collection), ...properties }, icon(name, 17), label);
  const marked = context.markOf(hit.id);
  const mark = (role, label) =>
    button(`mark-${role}`, role, label, closing(() => context.mark(role, hit)), { "aria-pressed": String(marked === role) });
  return el(
    "div",
    { class: "lk-details-acts" },
    button("search", "search", "Search with it", closing(() => context.search(hit)), { class: "lk-button is-primary" }),
    button("add", "plus", "Add to the search", closing(() => context.add(hit))),
    ...(context.mark ? [mark("like", "More like this"), mark("dislike", "Less like this")] : []),
    link("open", "Open large", { target: "_blank", rel: "noopener" }),
    link("download", "Download", { download: hit.name }),
    button("copy", "copy", "Copy path", (event) => copy(hit.path, event.currentTarget)),
  );
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.lastChild.textContent = "Copied";
  } catch {
    button.lastChild.textContent = "Not allowed here";
  }
}

function why(root, hit, { makeForm, asked, closing, collection, searchWith }, dialog) {
  const place = el("div", {});
  root.classList.add("is-why");
  root.append(place);
  const leave = (id) => {
    dialog.close();
    searchWith(id);
  };
  showWhy(place, { makeForm, asked, closing, hit, collection, searchWith: leave });
}
