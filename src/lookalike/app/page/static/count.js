// The number of results: a field and a slider that show the same.

import { clicked } from "./searcher.js";

const MOST = 200;
const PAUSE = 180; // ms that a slider rests before it counts

/**
 * `change(k, begun)` is called when another number has stood for a moment; `begun` is when a search for it is measured from.
 * @param {HTMLElement} box
 * @param {(k: number, begun: number) => void} change
 */
export function createCount(box, change) {
  const inputs = box.querySelectorAll("input");
  let shown = 0;
  let timer = 0;

  /** @param {number} k */
  function show(k) {
    shown = k;
    for (const input of inputs) input.value = String(k);
  }

  /** @param {number} k */
  function set(k) {
    clearTimeout(timer);
    const begun = clicked() + PAUSE;
    if (k >= 1 && k <= MOST && k !== shown) timer = setTimeout(() => change(k, begun), PAUSE);
  }

  for (const input of inputs) {
    input.addEventListener("input", () => {
      for (const other of inputs) if (other !== input) other.value = input.value;
      set(Math.round(Number(input.value)));
    });
    input.addEventListener("change", () => {
      const k = Math.min(MOST, Math.max(1, Math.round(Number(input.value)) || shown));
      for (const each of inputs) each.value = String(k);
      set(k);
    });
  }
  return { show };
}
