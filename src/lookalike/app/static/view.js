// What the page shows: examples, skeletons, results, errors. It draws and knows nothing else.

import { imageUrl, thumbnailUrl } from "./api.js";
import { el, icon } from "./dom.js";

const TITLES = {
  ImageError: "This picture cannot be read",
  FetchError: "This address cannot be searched with",
  PayloadTooLarge: "This file is too large",
  IdError: "This picture is gone",
  CollectionNotFoundError: "This collection is gone",
  Unreachable: "The server does not answer",
  Clipboard: "There is no picture to paste",
  Camera: "The camera cannot be used",
};

const number = new Intl.NumberFormat("en");
export const percent = (similarity) => `${Math.round(similarity)}%`;
export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
const plural = (n, one) => `${number.format(n)} ${one}${n === 1 ? "" : "s"}`;

/** Author and licence of a starter picture, with the link that the licence asks for. */
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

function pictureBox(entry, collection) {
  const ratio = (entry.width ?? 1) / (entry.height ?? 1);
  const whole = ratio > 1.6 || ratio < 0.74;
  const image = el("img", {
    src: thumbnailUrl(entry.id, collection, 320),
    alt: "",
    loading: "lazy",
    decoding: "async",
    draggable: false,
    class: whole ? "is-whole" : null,
    onload: () => box.classList.add("is-loaded"),
    onerror: () => box.classList.add("is-missing"),
  });
  // Beside a long picture, a blur of itself: white stays white, sky stays sky.
  const backdrop = whole && el("img", { src: image.src, alt: "", loading: "lazy", draggable: false, class: "lk-backdrop" });
  const box = el("span", { class: "lk-picture" }, backdrop || null, image);
  return box;
}

function tile(entry, collection, { search, hit = null, index = 0 }) {
  const similarity = hit && percent(hit.similarity);
  const action = `Search with ${entry.name}`;
  const sub = [hit?.word, entry.label].filter(Boolean).join(" · ");
  const button = el(
    "button",
    {
      type: "button",
      class: "lk-tile-button",
      title: entry.path,
      "aria-label": hit ? `${action}, similarity ${similarity}, ${hit.word}` : action,
      onclick: () => search({ id: entry.id, collection, name: entry.name, credit: entry.credit }),
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
  const open = el(
    "a",
    {
      class: "lk-open",
      href: imageUrl(entry.id, collection),
      target: "_blank",
      rel: "noopener",
      title: "Open the picture",
      "aria-label": `Open ${entry.name}`,
    },
    icon("open", 16),
  );
  return el(
    "li",
    { class: "lk-tile", "data-word": hit?.word, "data-id": entry.id, style: { "--i": Math.min(index, 24) } },
    button,
    open,
    creditLine(entry.credit),
  );
}

/** Pictures to start with, before anything was searched. */
export function showExamples(root, examples, collection, handlers) {
  const grid = el("ul", { class: "lk-grid" }, examples.map((entry, index) => tile(entry, collection, { ...handlers, index })));
  const none = el("p", { class: "lk-lead" }, "This collection holds no pictures yet: lookalike index FOLDER adds some.");
  root.replaceChildren(
    el(
      "header",
      { class: "lk-intro" },
      el("h2", {}, "Which pictures look like yours?"),
      el("p", { class: "lk-lead" }, "Drop one anywhere on this page, paste it, or start with one of these."),
    ),
    examples.length ? grid : none,
  );
}

/** Grey tiles where results will be, or the old results dimmed: the page keeps its shape. */
export function showLoading(root, k, credited) {
  root.setAttribute("aria-busy", "true");
  if (root.querySelector(".lk-grid.is-results")) return;
  const blank = () =>
    el("li", { class: "lk-tile is-blank", "aria-hidden": "true" }, el("span", { class: "lk-picture" }), el("span", { class: "lk-blank-line" }));
  root.replaceChildren(
    el("header", { class: "lk-summary" }, el("h2", {}, "Searching…")),
    el("ul", { class: `lk-grid${credited ? " is-credited" : ""}` }, Array.from({ length: k }, blank)),
  );
}

export function showResults(root, answer, { query, collection, search }) {
  const { results, timing_ms: timing } = answer;
  root.removeAttribute("aria-busy");
  const tiles = results.map((entry, index) => tile(entry, collection, { search, hit: entry, index }));
  const heading = results.length
    ? [`${plural(results.length, "picture")} like `, el("em", { title: query.name }, query.name)]
    : [`Nothing in ${collection} to compare with`];
  root.replaceChildren(
    el(
      "header",
      { class: "lk-summary" },
      el("h2", {}, heading),
      el(
        "p",
        { class: "lk-timing" },
        el("span", { title: "From the picture to a vector" }, "embedding ", el("b", {}, milliseconds(timing.embed))),
        el("span", { title: "From the vector to these results" }, "search ", el("b", {}, milliseconds(timing.search))),
      ),
    ),
    el("ul", { class: "lk-grid is-results", "aria-label": "Results" }, tiles),
  );
}

export function showError(root, error, startOver) {
  root.removeAttribute("aria-busy");
  const message = error.message.charAt(0).toUpperCase() + error.message.slice(1);
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
        el("button", { type: "button", class: "lk-button", onclick: startOver }, "Back to the examples"),
      ),
    ),
  );
}

/** What is searched, and how well. */
export function showStatus(root, status) {
  const recall = status.recall_at_10;
  const rows = [
    ["Pictures", number.format(status.pictures)],
    ["Index", status.index === "flat" ? "exact search" : status.spec],
    ["Model", status.model_title ?? status.model],
  ];
  if (recall) {
    const interval = `between ${recall.low.toFixed(3)} and ${recall.high.toFixed(3)}, over ${recall.n} queries`;
    const meaning = `Share of the true ${recall.k} nearest pictures that a search finds: ${interval}`;
    rows.splice(2, 0, [`Recall@${recall.k}`, el("span", { title: meaning }, recall.value.toFixed(3))]);
  }
  if (status.skipped?.length) rows.push(["Skipped", plural(status.skipped.length, "file")]);
  root.replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Small examples beside the results. */
export function showStrip(root, examples, collection, search) {
  root.hidden = examples.length === 0;
  const thumb = (entry) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          title: entry.credit ? `${entry.name} · ${entry.credit.author}, ${entry.credit.licence}` : entry.path,
          "aria-label": `Search with example ${entry.name}`,
          onclick: () => search({ id: entry.id, collection, name: entry.name, credit: entry.credit }),
        },
        el("img", { src: thumbnailUrl(entry.id, collection, 96), alt: "", loading: "lazy", draggable: false }),
      ),
    );
  root.replaceChildren(el("h2", {}, "Examples"), el("ul", {}, examples.map(thumb)));
}
