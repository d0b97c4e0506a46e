// Elements are built, never parsed: a file name stays text, whatever it holds.

/** @import { Children, Find, Properties } from "./types.d.ts" */

/**
 * An element with properties and children; `class`, `data-*`, `aria-*` and `role` become attributes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && !key.includes("-") && key !== "style") /** @type {any} */ (node)[key] = value;
    else if (key === "style") Object.entries(value).forEach(([name, set]) => node.style.setProperty(name, set));
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * Gives `find(selector, kind)` for a part of the page: the element of that kind, which has to be there.
 * @param {ParentNode} root
 * @returns {Find}
 */
export function finder(root) {
  return (selector, kind = /** @type {any} */ (HTMLElement)) => {
    const found = root.querySelector(selector);
    if (!(found instanceof kind)) throw new Error(`The page has no ${selector}.`);
    return found;
  };
}

/**
 * The element that an event happened to; null for the window and the document.
 * @param {Event} event
 * @returns {Element | null}
 */
export const targetOf = ({ target }) => (target instanceof Element ? target : null);

/**
 * Put a text into a field; what was selected as a whole stays so, so that what is typed or pasted next replaces it.
 * @param {HTMLInputElement} field
 * @param {string} text
 */
export function setText(field, text) {
  if (field.value === text) return;
  const isWhole = document.activeElement === field && field.selectionStart === 0 && field.selectionEnd === field.value.length;
  field.value = text;
  if (isWhole) field.setSelectionRange(0, text.length);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A line drawing of 24 by 24 from its paths.
 * @param {keyof typeof ICONS} name
 * @param {number} [size]
 * @returns {Node}
 */
export function icon(name, size = 20) {
  const key = `${name} ${size}`;
  const known = drawn.get(key) ?? drawIcon(name, size);
  drawn.set(key, known);
  return known.cloneNode(true);
}

/** @type {Map<string, SVGElement>} */
const drawn = new Map();

/**
 * @param {keyof typeof ICONS} name
 * @param {number} size
 */
function drawIcon(name, size) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "lk-icon" };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, String(value));
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

const ICONS = {
  picture: ["M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 9.5h.01"],
  paste: ["M9 4h6v3H9z", "M9 5.5H6V20h12V5.5h-3"],
  camera: ["M4 8h4l1.5-2.5h5L16 8h4v11H4z", "M12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  search: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "M15.5 15.5L20 20"],
  alert: ["M12 4l9 16H3z", "M12 10v4.5", "M12 17.2v.01"],
  moon: ["M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z"],
  plus: ["M12 5v14", "M5 12h14"],
  like: ["M7.5 11v9H4v-9z", "M7.5 11l4-7.5c1.6 0 2.4 1 2.1 2.6L13 9.5h5.2c1.3 0 2.1 1 1.8 2.3l-1.5 6.6c-.2 1-.9 1.6-1.9 1.6H7.5"],
  dislike: ["M16.5 13V4H20v9z", "M16.5 13l-4 7.5c-1.6 0-2.4-1-2.1-2.6l.6-3.4H5.8c-1.3 0-2.1-1-1.8-2.3l1.5-6.6C5.7 4.6 6.4 4 7.4 4h9.1"],
  info: ["M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17z", "M12 11v5", "M12 7.8v.01"],
  back: ["M14.5 5.5L8 12l6.5 6.5"],
  forward: ["M9.5 5.5L16 12l-6.5 6.5"],
  filter: ["M4 6h16", "M7 12h10", "M10 18h4"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  download: ["M12 4v11", "M7.5 11l4.5 4.5 4.5-4.5", "M5 20h14"],
  beside: ["M4 5h7v14H4z", "M13 5h7v14h-7z"],
  layers: ["M4 8h12v12H4z", "M8 8V4h12v12h-4"],
  grid: ["M4 4h7v7H4z", "M13 4h7v7h-7z", "M4 13h7v7H4z", "M13 13h7v7h-7z"],
  crop: ["M7 3v14h14", "M3 7h14v14"],
  text: ["M5 6h14", "M12 6v13"],
  target: ["M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16z", "M12 2v5", "M12 17v5", "M2 12h5", "M17 12h5"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  again: ["M19 12a7 7 0 1 1-2.2-5.1L19 9", "M19 4v5h-5"],
  open: ["M13 5h6v6", "M19 5l-9 9", "M11 6H5v13h13v-6"],
};
