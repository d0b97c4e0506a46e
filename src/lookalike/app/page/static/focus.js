// Who works with the keyboard keeps the place when what was pressed is drawn anew.

/** @typedef {HTMLElement & { disabled?: boolean }} Focusable */

/**
 * What has the focus inside `root`, as a function that gives it to the element that was drawn in its place: the same
 * button of the same picture, else the one that stands where it stood (or the first, if asked). Null if the focus is elsewhere.
 * @param {Element} root
 * @param {HTMLElement | null} [otherwise]
 * @returns {((first?: boolean) => void) | null}
 */
export function keepFocus(root, otherwise = null) {
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || focused === root || !root.contains(focused)) return null;
  const kind = kindOf(focused);
  const id = idOf(focused);
  const at = [...root.querySelectorAll(kind)].indexOf(focused);
  return (first = false) => {
    if (document.activeElement !== document.body) return; // it is somewhere else by now
    /** @type {NodeListOf<Focusable>} */
    const drawn = root.querySelectorAll(kind);
    const all = [...drawn].filter((each) => !each.disabled);
    const same = id && all.find((each) => idOf(each) === id);
    const next = same || all[first ? 0 : Math.min(at, all.length - 1)] || otherwise;
    next?.focus({ preventScroll: true });
  };
}

/** @param {HTMLElement} element */
const idOf = (element) => element.closest("[data-id]")?.getAttribute("data-id");

/** @param {HTMLElement} element */
function kindOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.dataset.act) return `[data-act="${element.dataset.act}"]`;
  return `${element.localName}${element.classList.length ? `.${CSS.escape(element.classList[0])}` : ""}`;
}
