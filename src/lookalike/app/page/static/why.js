// Why a picture is among the results: how like it is to each part of the query, and where the search looked, in plain words.

import { ApiError, queryUrl, thumbnailUrl } from "./api.js";
import { el } from "./dom.js";
import { reportOf } from "./report.js";
import { alertBox, ask, many } from "./sheet.js";

/** @import { Asked, Child, Why, WhyPart } from "./types.d.ts" */

const ROLES = { asked: "what you asked for", like: "more like this", unlike: "less like this" };
/** @type {WeakMap<Element, number>} */
const turns = new WeakMap();

/**
 * Fill a container; `makeForm()` gives the form of the search. With `searchWith` the report is there too, see `reportOf`.
 * @param {HTMLElement} container
 * @param {Pick<Asked, "makeForm" | "hit" | "collection"> & Partial<Asked>} options
 * @returns {Promise<void>}
 */
export async function showWhy(container, { makeForm, hit, collection, asked, closing, searchWith }) {
  const mine = (turns.get(container) ?? 0) + 1;
  turns.set(container, mine);
  container.classList.add("lk-why");
  container.setAttribute("aria-busy", "true");
  container.replaceChildren(el("p", { class: "lk-facts" }, "Looking into it…"));
  const body = makeForm();
  body.set("result", String(hit.id));
  body.set("in", collection);
  /** @type {Why} */
  let found;
  try {
    found = await ask("why", { method: "POST", body });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (turns.get(container) === mine) container.replaceChildren(alertBox(error.message));
    return;
  } finally {
    if (turns.get(container) === mine) container.removeAttribute("aria-busy");
  }
  if (turns.get(container) !== mine) return;
  container.replaceChildren(headline(found), partTable(found, collection), metTable(found));
  if (!searchWith || !asked || !closing || closing.aborted) return;
  container.append(reportOf({ makeForm, asked, closing, hit, collection, searchWith }));
}

/** @param {number} value */
const percent = (value) => `${Math.round(value)}%`;

/** @param {Why} found */
function headline({ rank, compared, passes, similarity, word, parts }) {
  const of = many(compared, "picture");
  const to = parts.length > 1 ? "to all of it together" : "to what you asked for";
  const place = !passes
    ? "It is left out of the results: it is part of the query, is marked “less like this”, or does not pass the filter."
    : rank === 1
      ? `Of the ${of} compared, none is more similar.`
      : rank
        ? `Of the ${of} compared, ${many(rank - 1, "is", "are")} more similar.`
        : `More than 200 of the ${of} compared are more similar.`;
  return el("p", { class: "lk-why-lead" }, el("b", {}, percent(similarity)), ` alike ${to}: ${word}. `, place);
}

/**
 * @param {Why} found
 * @param {string} collection
 */
function partTable({ parts, cosine, similarity, word }, collection) {
  const rows = parts.map((part) => row(picture(part, collection), label(part), part));
  if (parts.length > 1) rows.push(row(null, el("b", {}, "All together"), { cosine, similarity, word }));
  return el(
    "table",
    { class: "lk-why-parts" },
    el("caption", { class: "lk-hidden" }, "Similarity to each part of the query"),
    el("thead", {}, el("tr", {}, ["Part of the query", "Alike", "Cosine"].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows),
  );
}

/**
 * @param {Child} image
 * @param {Child} name
 * @param {Pick<WhyPart, "similarity" | "word" | "cosine">} measures
 */
function row(image, name, { similarity, word, cosine }) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("span", { class: "lk-why-part" }, image, name)),
    el(
      "td",
      { title: word },
      el("span", { class: "lk-why-bar", "aria-hidden": "true" }, el("i", { style: { width: `${Math.max(0, similarity)}%` } })),
      percent(similarity),
    ),
    el("td", {}, cosine.toFixed(3).replace("-", "−")),
  );
}

/** @param {WhyPart} part */
function label(part) {
  const name = part.name ?? part.text ?? "your picture";
  const notes = [ROLES[part.role], part.region ? "the marked part" : null].filter(Boolean).join(", ");
  return el("span", {}, el("span", { class: "lk-why-name", title: name }, name), el("span", { class: "lk-facts" }, notes));
}

/**
 * @param {WhyPart} part
 * @param {string} collection
 */
function picture(part, collection) {
  const src = part.id !== null && part.id !== undefined ? thumbnailUrl(part.id, part.source ?? collection, 96) : part.query ? queryUrl(part.query) : null;
  return src ? el("img", { src, alt: "", loading: "lazy", draggable: false }) : null;
}

/**
 * What the index did, for people who want to know; one sentence where it did nothing.
 * @param {Why} found
 */
function metTable({ index, distance }) {
  /** @type {[string, string][]} */
  const rows = [];
  const { list_rank: rank, nlist, nprobe, candidates } = index;
  if (rank && nlist !== null && nprobe !== null) {
    const visited = rank <= nprobe ? "visited" : "not visited";
    rows.push(["Its list", `${ordinal(rank)} nearest of ${nlist.toLocaleString("en")}; the nearest ${nprobe.toLocaleString("en")} are visited, so ${visited}`]);
  }
  if (index.code_rank && candidates !== null) {
    rows.push(["Rank by its code", `${ordinal(index.code_rank)}; the first ${candidates.toLocaleString("en")} are compared exactly`]);
  }
  if (index.code_distance !== null) rows.push(["Distance by the code", `${index.code_distance.toFixed(4)} (an estimate)`]);
  rows.push(["Distance", `${distance.toFixed(4)} = 1 − cosine`]);
  return el(
    "section",
    { class: "lk-why-met" },
    el("h3", {}, "Where the search looked"),
    el("p", {}, index.verdict),
    el("dl", {}, rows.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)])),
  );
}

/** @type {Partial<Record<Intl.LDMLPluralRule, string>>} */
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };

/** @param {number} n */
function ordinal(n) {
  const ending = ENDINGS[new Intl.PluralRules("en", { type: "ordinal" }).select(n)];
  return `${n.toLocaleString("en")}${ending}`;
}
