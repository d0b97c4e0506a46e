// Groups of the same picture: looked through page by page, with what was decided about each.

import { ApiError, thumbnailUrl } from "./api.js";
import { el, targetOf } from "./dom.js";
import { alertBox, ask, button, duration, many, openSheet, size } from "./sheet.js";

/** @import { Comparing, CopyOf, DuplicateGroup, Duplicates } from "./types.d.ts" */
/** @typedef {"keep" | "ignore" | "reset"} Decision */

const PAGE = 10;
const SHOWN = 12; // copies of a group, until more are asked for
const LEAST = 70;
const SAME = 90; // from here on the word is "same picture"
const PAUSE = 250; // ms that the slider rests before it counts

/**
 * Open the view; `searchWith(id)` searches with a picture and is called after the dialog was closed.
 * @param {{ collection: string, searchWith: (id: number) => void }} options
 */
export function openDuplicates({ collection, searchWith }) {
  const sheet = openSheet("duplicates", { wide: true });
  const state = { similarity: SAME, offset: 0, ignored: false, turn: 0 };
  const summary = el("p", { class: "lk-lead", role: "status" });
  const groups = el("ol", { class: "lk-groups" });
  const bar = el("progress", { "aria-label": "Pictures compared" });
  const pace = el("p", { class: "lk-pace" });
  const work = el("div", { class: "lk-job lk-comparing", hidden: true }, bar, pace, button("Cancel", cancel));
  const pages = el("nav", { class: "lk-pager", "aria-label": "Pages of groups" });
  /** @type {HTMLInputElement} */
  const ignored = el("input", { type: "checkbox", id: "lk-ignored", onchange: () => load({ ignored: ignored.checked, offset: 0 }) });
  const ignoredText = el("label", { htmlFor: "lk-ignored" }, "Show ignored");
  const output = el("span", { class: "lk-tools-value", "aria-hidden": "true" });
  let timer = 0;
  /** @type {HTMLInputElement} */
  const slider = el("input", {
    type: "range",
    id: "lk-alike",
    min: LEAST,
    max: 100,
    step: 1,
    value: SAME,
    oninput: () => {
      sayAlike();
      clearTimeout(timer);
      timer = setTimeout(() => load({ similarity: Number(slider.value), offset: 0 }), PAUSE);
    },
  });
  const sayAlike = () => {
    const value = Number(slider.value);
    const word = value >= 100 ? "identical" : value >= SAME ? "same picture" : "very alike";
    output.textContent = `${value}% · ${word}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const tools = el(
    "div",
    { class: "lk-tools" },
    el("label", { htmlFor: "lk-alike" }, "At least this alike"),
    slider,
    output,
    el("span", { class: "lk-check" }, ignored, ignoredText),
  );
  sheet.show(`Duplicates in ${collection}`, tools, summary, work, groups, pages);
  sayAlike();

  const inside = `in=${encodeURIComponent(collection)}`;

  /** @param {Partial<typeof state>} [change] */
  async function load(change = {}) {
    Object.assign(state, change);
    const mine = (state.turn += 1);
    groups.setAttribute("aria-busy", "true");
    const waiting = setTimeout(() => (summary.textContent = "Comparing every picture with every other…"), 300);
    const wanted = `similarity=${state.similarity}&offset=${state.offset}&limit=${PAGE}&ignored=${state.ignored}`;
    /** @type {() => Promise<Duplicates | Comparing>} */
    const question = () => ask(`duplicates?${inside}&${wanted}`);
    const isStale = () => mine !== state.turn || !groups.isConnected;
    try {
      let answer = await question();
      while (!answer.groups) {
        // What takes long is answered with how far it is; the next question waits for the rest.
        if (isStale()) return;
        drawWork(answer);
        answer = await question();
      }
      if (isStale()) return;
      if (!answer.groups.length && state.offset) return void load({ offset: Math.max(0, state.offset - PAGE) });
      draw(answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (mine === state.turn) tell(error);
    } finally {
      clearTimeout(waiting);
      if (mine === state.turn) {
        groups.removeAttribute("aria-busy");
        work.hidden = true;
      }
    }
  }

  /** @param {Comparing} comparing */
  function drawWork({ state: stage, progress }) {
    const { done = 0, total = 0, seconds_left: left = null } = progress ?? {};
    if (total) Object.assign(bar, { max: total, value: done });
    else bar.removeAttribute("value");
    const facts = [
      stage === "waiting" ? "Another comparison comes first" : null,
      total ? `${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : null,
      left !== null && total > done ? `about ${duration(left)} left` : null,
    ];
    pace.textContent = facts.filter(Boolean).join(" · ") || "\u00a0";
    groups.replaceChildren();
    pages.replaceChildren();
    work.hidden = false;
  }

  async function cancel() {
    state.turn += 1; // whatever is still answered is of no interest
    work.hidden = true;
    groups.removeAttribute("aria-busy");
    summary.textContent = "Cancelled. Move the slider to compare again.";
    sheet.heading.focus();
    try {
      await ask(`duplicates?${inside}&similarity=${state.similarity}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // it ends by itself, since nobody asks about it
    }
  }

  /** @param {ApiError} error */
  function tell(error) {
    summary.textContent = "";
    groups.replaceChildren(el("li", { class: "lk-plain" }, alertBox(error.message)));
    pages.replaceChildren();
  }

  /** @param {Duplicates} answer */
  function draw(answer) {
    const open = answer.total - (state.ignored ? answer.ignored : 0);
    summary.textContent = open
      ? `${many(open, "group")}, ${many(answer.pictures, "picture")}; ${size(answer.spare_bytes)} are taken by the copies. Nothing is deleted here.`
      : answer.ignored
        ? "Every group is ignored."
        : "There are no duplicates.";
    ignored.disabled = !answer.ignored && !state.ignored;
    ignoredText.textContent = answer.ignored ? `Show ignored (${answer.ignored})` : "Show ignored";
    groups.start = state.offset + 1;
    groups.replaceChildren(...answer.groups.map(groupItem));
    drawPages(answer.total);
  }

  /** @param {number} total */
  function drawPages(total) {
    const last = Math.max(1, Math.ceil(total / PAGE));
    const at = state.offset / PAGE + 1;
    pages.hidden = last === 1;
    /** @param {number} by */
    const turn = (by) => async () => {
      await load({ offset: state.offset + by * PAGE });
      sheet.body.scrollTo({ top: 0 });
      sheet.heading.focus();
    };
    pages.replaceChildren(
      button("Previous", turn(-1), { disabled: at <= 1 }),
      el("span", {}, `Page ${at} of ${last}`),
      button("Next", turn(1), { disabled: at >= last }),
    );
  }

  /**
   * @param {DuplicateGroup} group
   * @param {number} index
   */
  function groupItem(group, index) {
    const ids = group.pictures.map((picture) => picture.id);
    const links = group.links ? `${many(group.links, "link")} · ` : "";
    const title = `${many(group.count - group.links, "picture")} · ${links}${size(group.spare_bytes)} in the copies`;
    const ends = `${Math.floor(group.least_similarity)}%`;
    const chain = el("span", { class: "lk-tag", title: `Each is similar to another one, but the two that are least similar are ${ends} alike` }, `chain · ends ${ends}`);
    /** @type {(picture: CopyOf, at: number) => HTMLElement} */
    const item = (picture, at) => copyItem(picture, at === 0 || group.pictures[at - 1].part !== picture.part);
    const isMarked = group.ignored || group.pictures.some((picture) => picture.kept);
    const row = el("ul", { class: "lk-copies" }, group.pictures.slice(0, SHOWN).map(item));
    if (group.pictures.length > SHOWN) {
      const more = button(`Show ${group.pictures.length - SHOWN} more`, () => {
        row.append(...group.pictures.slice(SHOWN).map((picture, at) => item(picture, at + SHOWN)));
        row.children[SHOWN].querySelector("button")?.focus();
        holder.remove();
      });
      const holder = el("li", { class: "lk-copies-more" }, more);
      row.append(holder);
    }
    const name = group.pictures[0].name;
    return el(
      "li",
      { class: `lk-group${group.ignored ? " is-ignored" : ""}${group.count > 3 ? " is-wide" : ""}`, "data-at": index },
      el(
        "div",
        { class: "lk-group-head" },
        el("h3", {}, title, group.is_chain ? chain : null, group.ignored ? el("span", { class: "lk-tag" }, "ignored") : null),
        isMarked ? button("Reset", () => decide(ids, "reset", index), { class: "is-quiet", "aria-label": `Reset the group of ${name}` }) : null,
        group.ignored ? null : button("Ignore", () => decide(ids, "ignore", index), { class: "is-quiet", title: "Leave this group alone", "aria-label": `Ignore the group of ${name}` }),
      ),
      row,
    );
  }

  /**
   * @param {CopyOf} picture
   * @param {boolean} isFirst
   */
  function copyItem(picture, isFirst) {
    const pixels = picture.width ? `${picture.width} × ${picture.height}` : "";
    const alike = !isFirst ? `${Math.floor(picture.similarity)}%` : picture.part ? `part ${picture.part + 1}` : "largest";
    const isLink = picture.is_link || picture.link_of !== null;
    const space = isLink ? "link" : picture.bytes ? size(picture.bytes) : null;
    const keep = button(picture.kept ? "Kept" : "Keep", () => decide([picture.id], picture.kept ? "reset" : "keep", null, picture.id), {
      class: picture.kept ? "is-kept" : "",
      "aria-pressed": String(picture.kept),
      "aria-label": `Keep ${picture.name}`,
      "data-keep": picture.id,
    });
    return el(
      "li",
      { class: isFirst && picture.part ? "is-part" : "" },
      el(
        "button",
        { type: "button", class: "lk-copy", title: picture.path, "aria-label": `Search with ${picture.path}`, onclick: () => choose(picture.id) },
        el("img", { src: thumbnailUrl(picture.id, collection, 320), alt: "", loading: "lazy", draggable: false, onerror: (event) => targetOf(event)?.classList.add("is-gone") }),
        el("span", { class: "lk-alike" }, alike),
      ),
      el("span", { class: "lk-copy-name", title: picture.path }, picture.name),
      el("span", { class: "lk-facts" }, picture.label || "\u00a0"),
      el("span", { class: "lk-facts" }, [pixels, space].filter(Boolean).join(" · ")),
      keep,
    );
  }

  /** @param {number} id */
  function choose(id) {
    sheet.close();
    searchWith(id);
  }

  /** @type {(ids: number[], decision: Decision, index: number | null, keptId?: number | null) => Promise<void>} */
  async function decide(ids, decision, index, keptId = null) {
    try {
      await ask(`duplicates?${inside}`, { method: "POST", json: { ids, decision } });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      sheet.body.querySelector(".lk-alert")?.remove();
      summary.after(alertBox(error.message));
      return;
    }
    await load();
    /** @type {HTMLElement | null} */
    const same = keptId === null ? null : groups.querySelector(`[data-keep="${keptId}"]`);
    const next = groups.children[Math.min(index ?? 0, groups.children.length - 1)];
    /** @type {HTMLElement | null | undefined} */
    const beside = next?.querySelector(".lk-group-head button");
    (same ?? beside ?? sheet.heading).focus();
  }

  load();
}
