// One picture as it stands in a grid, and the keys that lead through the grid.

import { imageUrl, thumbnailUrl } from "./api.js";
import { el, icon, targetOf } from "./dom.js";

/** @import { Credit, Entry, Handlers, Hit, Role } from "./types.d.ts" */

const number = new Intl.NumberFormat("en");
/** @type {(similarity: number) => string} */
export const percent = (similarity) => `${Math.round(similarity)}%`;
/** @type {(ms: number) => string} */
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
/** @type {(n: number, one: string) => string} */
export const plural = (n, one) => `${number.format(n)} ${one}${n === 1 ? "" : "s"}`;
/** @type {(n: number) => string} */
export const grouped = (n) => number.format(n);

/**
 * Author and licence of a starter picture, with the link that the licence asks for.
 * @param {Credit | null | undefined} credit
 * @param {string} [className]
 * @returns {HTMLElement | null}
 */
export function creditLine(credit, className = "lk-credit") {
  if (!credit) return null;
  const licence = credit.licence.replace("public-domain", "public domain").replace(/^CC-/, "CC ").replace(/-(\d)/, " $1");
  return el(
    "p",
    { class: className, title: `${credit.author} · ${credit.source} · ${credit.changes}` },
    el("span", {}, credit.author),
    "\u00a0·",
    el("a", { href: credit.licence_url, target: "_blank", rel: "license noopener noreferrer" }, licence),
  );
}

/**
 * @param {Entry} entry
 * @param {string} collection
 */
function pictureBox(entry, collection) {
  const ratio = (entry.width ?? 1) / (entry.height ?? 1);
  const whole = ratio > 1.6 || ratio < 0.74;
  const image = el("img", {
    loading: "lazy", // before the address, or it is fetched at once
    decoding: "async",
    src: thumbnailUrl(entry.id, collection, 320),
    alt: "",
    draggable: false,
    class: whole ? "is-whole" : null,
    onload: () => box.classList.add("is-loaded"),
    onerror: () => box.classList.add("is-missing"),
  });
  // Beside a long picture, a blur of itself: white stays white, sky stays sky.
  const backdrop = whole && el("img", { loading: "lazy", src: image.src, alt: "", draggable: false, class: "lk-backdrop" });
  const box = el("span", { class: "lk-picture" }, backdrop || null, image);
  return box;
}

/**
 * A tile. `handlers` has search(entry); with details(entry, hits) and mark(role, entry), also buttons for those.
 * `options` has hit, mark ("like", "dislike" or undefined), missed, index.
 * @param {Entry} entry
 * @param {string} collection
 * @param {Handlers} handlers
 * @param {{ hit?: Hit | null, mark?: Role, missed?: boolean, index?: number }} [options]
 * @returns {HTMLElement}
 */
export function tile(entry, collection, handlers, { hit = null, mark, missed = false, index = 0 } = {}) {
  const similarity = hit && percent(hit.similarity);
  const action = `Search with ${entry.name}`;
  const sub = [hit?.missing && "the file is gone", missed ? "missed by the index" : hit?.word, entry.label].filter(Boolean).join(" · ");
  const button = el(
    "button",
    {
      type: "button",
      class: "lk-tile-button",
      title: entry.path,
      "aria-label": hit ? `${action}, similarity ${similarity}, ${hit.word}${hit.missing ? ", the file is gone" : ""}` : action,
      onclick: () => handlers.search(entry),
    },
    pictureBox(entry, collection),
    hit && el("span", { class: "lk-bar", "aria-hidden": "true" }, el("i", { style: { width: `${hit.similarity}%` } })),
    el(
      "span",
      { class: "lk-caption" },
      el("span", { class: "lk-name" }, entry.name),
      hit && el("span", { class: "lk-similarity" }, similarity),
    ),
    el("span", { class: "lk-sub" }, sub || "\u00a0"),
  );
  const corner = el("span", { class: "lk-acts" }, handlers.details ? actions(entry, handlers, mark) : opener(entry, collection));
  return el(
    "li",
    { class: "lk-tile", "data-word": hit?.word, "data-id": entry.id, "data-missed": missed ? "" : null, style: { "--i": Math.min(index, 24) } },
    button,
    corner,
    creditLine(entry.credit),
  );
}

/**
 * @param {Entry} entry
 * @param {Handlers} handlers
 * @param {Role | undefined} marked
 */
function actions(entry, { details, mark }, marked) {
  /** @type {(name: string, icons: "like" | "dislike" | "info", label: string, go: () => void, pressed?: string) => Node} */
  const act = (name, icons, label, onclick, pressed) =>
    el(
      "button",
      { type: "button", class: "lk-act", "data-act": name, title: label, "aria-label": `${label}: ${entry.name}`, "aria-pressed": pressed, onclick },
      icon(icons, 17),
    );
  return [
    ...(mark ? [act("like", "like", "More like this", () => mark("like", entry), String(marked === "like"))] : []),
    ...(mark ? [act("dislike", "dislike", "Less like this", () => mark("dislike", entry), String(marked === "dislike"))] : []),
    act("details", "info", "Details", () => details?.(entry)),
  ];
}

/**
 * @param {Entry} entry
 * @param {string} collection
 */
function opener(entry, collection) {
  const properties = { class: "lk-act", href: imageUrl(entry.id, collection), target: "_blank", rel: "noopener" };
  return el("a", { ...properties, title: "Open the picture", "aria-label": `Open ${entry.name}` }, icon("open", 16));
}

/**
 * What can be pressed in a tile.
 * @type {(tile: Element) => NodeListOf<HTMLElement>}
 */
export const buttonsOf = (each) => each.querySelectorAll("button, a");

/**
 * Arrow keys go from tile to tile, Tab through the buttons of one; + and − mark it, I shows its details.
 * @param {HTMLElement} root
 * @returns {{ reset: () => void }}
 */
export function listenForKeys(root) {
  /** @type {(each: Element) => HTMLElement | null} */
  const mainOf = (each) => each.querySelector(".lk-tile-button");
  /** @param {Element | null} one */
  const current = (one) => {
    for (const each of root.querySelectorAll(".lk-tile:not(.is-blank)")) {
      for (const button of buttonsOf(each)) button.tabIndex = each === one ? 0 : -1;
    }
  };
  root.addEventListener("focusin", (event) => {
    const one = targetOf(event)?.closest(".lk-tile");
    if (one && mainOf(one)?.tabIndex !== 0) current(one);
  });
  root.addEventListener("keydown", (event) => {
    const one = targetOf(event)?.closest(".lk-tile");
    if (!one || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { "+": "like", "-": "dislike", i: "details", I: "details" }[event.key];
    if (act) {
      /** @type {HTMLElement | null} */ (one.querySelector(`[data-act="${act}"]`))?.click();
      return;
    }
    /** @type {NodeListOf<HTMLElement> | undefined} */
    const siblings = one.parentElement?.querySelectorAll(":scope > .lk-tile");
    const tiles = [...(siblings ?? [])];
    const perRow = tiles.filter((each) => each.offsetTop === tiles[0].offsetTop).length;
    const at = tiles.findIndex((each) => each === one);
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow, ArrowDown: perRow, Home: -at, End: tiles.length - 1 - at };
    const next = event.key in steps && tiles[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    current(next);
    mainOf(next)?.focus();
  });
  return { reset: () => current(root.querySelector(".lk-tile:not(.is-blank)")) };
}
