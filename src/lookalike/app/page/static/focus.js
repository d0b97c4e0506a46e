// Who works with the keyboard keeps the place when what was pressed is drawn anew.

/**
 * What has the focus inside `root`, as a function that gives it to the element that was drawn in its place: the same
 * button of the same picture, else the one that stands where it stood (or the first, if asked). Null if the focus is elsewhere.
 */
export function keepFocus(root, otherwise = null) {
  const focused = document.activeElement;
  if (focused === root || !root.contains(focused)) return null;
  const kind = kindOf(focused);
  const id = focused.closest("[data-id]")?.dataset.id;
  const at = [...root.querySelectorAll(kind)].indexOf(focused);
  return (first = false) => {
    if (document.activeElement !== document.body) return; // it is somewhere else by now
    const all = [...root.querySelectorAll(kind)].filter((each) => !each.disabled);
    const same = id !== undefined && all.find((each) => each.closest("[data-id]")?.dataset.id === id);
    const next = same || all[first ? 0 : Math.min(at, all.length - 1)] || otherwise;
    next?.focus({ preventScroll: true });
  };
}

function kindOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.dataset.act) return `[data-act="${element.dataset.act}"]`;
  return `${element.localName}${element.classList.length ? `.${CSS.escape(element.classList[0])}` : ""}`;
}
