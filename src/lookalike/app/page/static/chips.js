// The query as chips: each part with a thumbnail, the liked and the disliked, each removed by itself.

import { sourceOf, thumbnailUrl } from "./api.js";
import { el, finder, icon } from "./dom.js";
import { keepFocus } from "./focus.js";
import { ROLES as ROLE_NAMES } from "./query.js";

/** @import { Mark, Part, Region, Role, State } from "./types.d.ts" */
/** @typedef {(key: string) => void} WithKey */
/** @typedef {{ picked: string | null, pick: WithKey, remove: WithKey }} Picking */

const SIDE = 52;
/** @type {Record<Role, string>} */
const ROLES = { like: "More like", dislike: "Less like" };

/**
 * Redraw the chips of a state; `picked` is the key of the part that stands large.
 * @param {HTMLElement} root
 * @param {State} state
 * @param {Picking & { isAdding: boolean, toggleAdding: () => void }} handlers
 */
export function showChips(root, state, { picked, isAdding, pick, remove, toggleAdding }) {
  const several = state.parts.filter((each) => !each.text).length > 1;
  const chips = [
    ...state.parts.map((each) => (each.text ? textChip(each, remove) : pictureChip(each, { several, picked, pick, remove }))),
    ...ROLE_NAMES.flatMap((role) => state[role].map((each) => markChip(role, each, state.collection, remove))),
  ];
  const add = el(
    "button",
    {
      type: "button",
      id: "lk-add",
      class: "lk-chip-add",
      "aria-pressed": String(isAdding),
      "aria-label": "Add to this search",
      title: "Add a picture or words to this search",
      onclick: toggleAdding,
    },
    icon(isAdding ? "close" : "plus", 18),
  );
  const refocus = keepFocus(root, finder(document)("#lk-file"));
  root.hidden = chips.length === 0;
  root.replaceChildren(...(chips.length ? [...chips, el("li", {}, add)] : []));
  refocus?.();
}

/** @type {(key: string, name: string, remove: WithKey) => HTMLElement} */
function removal(key, name, remove) {
  const properties = { type: "button", class: "lk-chip-remove", title: "Remove", "aria-label": `Remove ${name}` };
  return el("button", { ...properties, onclick: () => remove(key) }, icon("close", 12));
}

/**
 * @param {Part} part
 * @param {Picking & { several: boolean }} handlers
 */
function pictureChip(part, { several, picked, pick, remove }) {
  const called = part.name ?? "a picture";
  const name = part.region ? `a part of ${called}` : called;
  const button = el(
    "button",
    {
      type: "button",
      class: "lk-chip-picture",
      title: name,
      "aria-label": `Show ${name}`,
      "aria-pressed": String(several && part.key === picked),
      onclick: () => pick(part.key),
    },
    thumbnail(sourceOf(part, 192), part.region),
  );
  return el("li", { class: "lk-chip", "data-role": "picture" }, button, removal(part.key, name, remove));
}

/** @type {(role: Role, mark: Mark, collection: string, remove: WithKey) => HTMLElement} */
function markChip(role, mark, collection, remove) {
  const name = `${ROLES[role].toLowerCase()} ${mark.name ?? "this picture"}`;
  return el(
    "li",
    { class: "lk-chip", "data-role": role, title: `${ROLES[role]} ${mark.name ?? "this picture"}` },
    el("span", { class: "lk-chip-picture" }, thumbnail(mark.name === undefined ? null : thumbnailUrl(mark.id, collection, 96), null)),
    el("span", { class: "lk-chip-role" }, icon(role, 12), el("span", { class: "lk-hidden" }, name)),
    removal(`${role}${mark.id}`, name, remove),
  );
}

/** @type {(part: Part, remove: WithKey) => HTMLElement} */
function textChip({ key, text = "" }, remove) {
  const words = el("span", { class: "lk-chip-words", title: text }, `“${text}”`);
  return el("li", { class: "lk-chip is-text", "data-role": "text" }, words, removal(key, text, remove));
}

/**
 * A small square of a picture, or of a part of it, undistorted.
 * @param {string | null} src
 * @param {Region | null} region
 */
function thumbnail(src, region) {
  if (!src) return icon("picture", 22);
  const image = el("img", { src, alt: "", draggable: false });
  if (region) {
    image.addEventListener("load", () => {
      const [x, y, width, height] = region;
      const scale = Math.max(SIDE / (width * image.naturalWidth), SIDE / (height * image.naturalHeight));
      const drawn = [image.naturalWidth * scale, image.naturalHeight * scale];
      const style = {
        position: "absolute",
        "max-width": "none",
        width: `${drawn[0]}px`,
        height: `${drawn[1]}px`,
        left: `${SIDE / 2 - (x + width / 2) * drawn[0]}px`,
        top: `${SIDE / 2 - (y + height / 2) * drawn[1]}px`,
      };
      Object.entries(style).forEach(([name, value]) => image.style.setProperty(name, value));
    });
  }
  return image;
}
