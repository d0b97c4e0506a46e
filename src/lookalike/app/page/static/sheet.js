// A dialog over the page, and a few words that the dialogs of this folder share.

import { call } from "./api.js";
import { el, finder, icon } from "./dom.js";
import { createTurns } from "./turns.js";

/** @import { Properties, Sheet } from "./types.d.ts" */

/**
 * Ask the API; what it has against a request is thrown.
 * @template [T=unknown]
 * @param {string} path
 * @param {{ method?: string, json?: object, body?: FormData }} [options]
 * @returns {Promise<T>}
 */
export async function ask(path, { method = "GET", json, body } = {}) {
  const headers = { "X-Lookalike-Page": "1", ...(json ? { "Content-Type": "application/json" } : {}) };
  return call(path, { method, headers, body: json ? JSON.stringify(json) : body });
}

const number = new Intl.NumberFormat("en");
/** @type {(n: number, one: string, others?: string) => string} */
export const many = (n, one, others = `${one}s`) => `${number.format(n)} ${n === 1 ? one : others}`;
/** @type {(text: string) => string} */
export const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".") : "");

/**
 * Bytes as somebody would say them.
 * @param {number} bytes
 * @returns {string}
 */
export function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e5) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${number.format(Math.round(bytes / 1e3))} kB`;
}

/**
 * Seconds as somebody would say them.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

/** @type {(text: string, onclick: Properties["onclick"], properties?: Properties) => HTMLButtonElement} */
export const button = (text, onclick, properties = {}) =>
  el("button", { type: "button", ...properties, class: `lk-button ${properties.class ?? ""}`, onclick }, text);

/** @type {(message: string) => HTMLElement} */
export const alertBox = (message) => el("p", { class: "lk-alert", role: "alert" }, icon("alert", 20), el("span", {}, sentence(message)));

let count = 0;

/**
 * Open a dialog; returns it with `show(title, ...children)`, which replaces what it holds, and `begin()`, for what is asked
 * before something is shown: it gives a function that says whether nothing else was begun or shown meanwhile.
 * @param {string} name
 * @param {{ wide?: boolean, closed?: () => void }} [options]
 * @returns {Sheet}
 */
export function openSheet(name, { wide = false, closed = () => {} } = {}) {
  const id = `lk-sheet-${(count += 1)}`;
  const heading = el("h2", { id, tabIndex: -1 });
  const body = el("div", { class: "lk-sheet-body" });
  const begin = createTurns();
  const before = document.activeElement;
  /** @type {HTMLDialogElement} */
  const dialog = el(
    "dialog",
    {
      class: `lk-dialog lk-sheet${wide ? " is-wide" : ""}`,
      "aria-labelledby": id,
      "data-sheet": name,
      onclose: () => {
        dialog.remove();
        closed();
        if (before instanceof HTMLElement && before.isConnected) before.focus();
      },
      onclick: (event) => event.target === dialog && dialog.close(), // beside it
    },
    el(
      "div",
      { class: "lk-sheet-head" },
      heading,
      el("button", { type: "button", class: "lk-sheet-close", "aria-label": "Close", title: "Close", onclick: () => dialog.close() }, icon("close")),
    ),
    body,
  );
  finder(document)("#lk-head").append(dialog);
  dialog.showModal();
  /** @type {Sheet["show"]} */
  const show = (title, ...children) => {
    begin();
    heading.replaceChildren(title);
    body.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  };
  return { dialog, body, heading, begin, show, close: () => dialog.close() };
}
