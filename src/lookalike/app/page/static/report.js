// The search step by step: a page of its own, from the server, in a frame that can neither reach this page nor any other machine.

import { ApiError, explain, isAborted } from "./api.js";
import { el, icon } from "./dom.js";
import { alertBox, button } from "./sheet.js";

/** @import { Asked } from "./types.d.ts" */

const SLOW = 9000; // ms

// One page serves all results of a search: it is of what was asked, not of what was found.
/** @type {WeakMap<object, Promise<string>>} */
const pages = new WeakMap();
/** @type {AbortController | null} */
let watched = null; // stops listening to the frame that was shown last

/**
 * A section that shows the report; `searchWith(id)` is called when somebody wants to search from a picture in it.
 * `asked` is an object that stands for the search: one page is kept for it. When `closing` is aborted, nobody looks any more.
 * @param {Asked} options
 * @returns {HTMLElement}
 */
export function reportOf({ makeForm, asked, closing, hit, collection, searchWith }) {
  const place = el("div", { class: "lk-report-place" });
  const tools = el("div", { class: "lk-report-tools" });
  const head = el("header", { class: "lk-report-head" }, el("h3", {}, "The search, step by step"), tools);
  const load = async () => {
    place.setAttribute("aria-busy", "true");
    const said = el("span", {}, "Tracing the search step by step; this takes a few seconds…");
    place.replaceChildren(el("p", { class: "lk-report-wait", role: "status" }, el("span", { class: "lk-spinner", "aria-hidden": "true" }), said));
    const slow = setTimeout(() => (said.textContent = "The first time takes up to a minute, because code is compiled for this computer…"), SLOW);
    try {
      const html = await fetched(asked, makeForm, collection, closing);
      if (!place.isConnected) return;
      place.replaceChildren(frameOf(html, hit, searchWith, closing));
      tools.replaceChildren(saveLink(html, collection));
    } catch (error) {
      if (isAborted(error)) return;
      if (!(error instanceof ApiError)) throw error;
      place.replaceChildren(alertBox(error.message), button("Try again", load));
    } finally {
      clearTimeout(slow);
      place.removeAttribute("aria-busy");
    }
  };
  load();
  return el("section", { class: "lk-report", "aria-label": "The search, step by step" }, head, place);
}

/** @type {(asked: object, makeForm: Asked["makeForm"], collection: string, closing: AbortSignal) => Promise<string>} */
function fetched(asked, makeForm, collection, closing) {
  const known = pages.get(asked);
  if (known) return known;
  const form = makeForm();
  form.set("in", collection);
  const page = explain(form, closing);
  pages.set(asked, page);
  page.catch(() => pages.delete(asked));
  return page;
}

/** @type {(html: string, hit: Asked["hit"], searchWith: Asked["searchWith"], closing: AbortSignal) => HTMLElement} */
function frameOf(html, hit, searchWith, closing) {
  const theme = document.documentElement.classList.contains("dark") ? "dark" : "light";
  const frame = el("iframe", { class: "lk-report-frame", title: "The search, step by step", sandbox: "allow-scripts", referrerPolicy: "no-referrer" });
  // The frame asks for nothing: its policy is in the page, and this page's holds there too.
  frame.srcdoc = html.replace("<html ", `<html data-embedded="true" data-theme="${theme}" `);
  /** @param {MessageEvent} event */
  const listen = ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== "null" || data?.lookalike !== "search") return;
    if (Number.isSafeInteger(data.id) && data.id >= 0) searchWith(data.id);
  };
  watched?.abort();
  const mine = (watched = new AbortController());
  closing.addEventListener("abort", () => mine.abort());
  addEventListener("message", listen, { signal: mine.signal });
  frame.addEventListener("load", () => frame.contentWindow?.postMessage({ lookalike: "select", id: hit.id }, "*"));
  return frame;
}

/** @type {(html: string, collection: string) => HTMLElement} */
function saveLink(html, collection) {
  const save = () => {
    const href = URL.createObjectURL(new Blob([html], { type: "text/html" }));
    el("a", { href, download: `why-${collection}.html` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  };
  return el("button", { type: "button", class: "lk-button is-quiet", onclick: save }, icon("download", 17), "Save as a file");
}
