// The tools above the results: filters with their panel, order, least similarity, copies. `change(next)` gets states.

import { el, finder, icon, targetOf } from "./dom.js";
import { keepFocus } from "./focus.js";
import { SHAPES, SORTS, activeFilters, filtering, unfiltered, unfiltering } from "./query.js";
import { grouped } from "./tiles.js";

/** @import { Filters, Label, Properties, Sort, State } from "./types.d.ts" */

const PAUSE = 250; // ms that a slider rests before it counts
const SHOWN = 300; // folders that are listed at once

/**
 * Wire the tools; returns `show(state)`, which draws how a state is set, and `setLabels(found)`.
 * @param {HTMLElement} root
 * @param {State} start
 * @param {{ change: (next: State) => void }} handlers
 * @returns {{ show: (next: State) => void, setLabels: (found: Label[]) => void }}
 */
export function createFilters(root, start, { change }) {
  const find = finder(root);
  const panel = find("#lk-filter-panel");
  const opener = find("#lk-filter");
  let state = start;
  /** @type {Label[]} */
  let labels = [];
  let timer = 0;

  /** @param {boolean} isOpen */
  const open = (isOpen) => {
    panel.hidden = !isOpen;
    opener.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) draw();
  };
  opener.addEventListener("click", () => open(Boolean(panel.hidden)));
  document.addEventListener("pointerdown", (event) => {
    if (!panel.hidden && !targetOf(event)?.closest("#lk-filter-panel, #lk-filter")) open(false);
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    open(false);
    opener.focus();
  });

  const sort = find("#lk-sort", HTMLSelectElement);
  const fold = find("#lk-fold", HTMLInputElement);
  sort.append(...Object.entries(SORTS).map(([value, name]) => el("option", { value }, name)));
  sort.addEventListener("change", () => change({ ...state, sort: /** @type {Sort} */ (sort.value) }));
  fold.addEventListener("change", () => change({ ...state, fold: fold.checked }));
  const threshold = find("#lk-threshold", HTMLInputElement);
  threshold.addEventListener("input", () => {
    const wanted = Number(threshold.value);
    find("#lk-threshold-value").textContent = `${wanted}%`;
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = 0;
      change({ ...state, threshold: wanted });
    }, PAUSE);
  });

  function draw() {
    const { filters } = state;
    /** @type {(label: string, name: Exclude<keyof Filters, "labels">, properties: Properties) => HTMLElement} */
    const field = (label, name, properties) => {
      const set = () => change(filtering(state, { [name]: input.value }));
      const input = el("input", { value: filters[name], onchange: set, ...properties });
      return el("label", { class: "lk-field" }, label, input);
    };
    panel.replaceChildren(
      folders(filters),
      el(
        "div",
        { class: "lk-filter-rest" },
        el("div", { class: "lk-field-pair" }, field("From", "after", { type: "date" }), field("Until", "before", { type: "date" })),
        el(
          "div",
          { class: "lk-field-pair" },
          field("At least", "min_side", { type: "number", min: 0, placeholder: "pixels" }),
          field("At most", "max_side", { type: "number", min: 0, placeholder: "pixels" }),
        ),
        shapes(filters),
      ),
    );
  }

  /** @param {Filters} filters */
  function folders(filters) {
    const list = el("ul", { class: "lk-folders" });
    /** @param {string} text */
    const fill = (text) => {
      const wanted = labels.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase())).slice(0, SHOWN);
      list.replaceChildren(
        ...wanted.map(({ label, name, pictures }) => {
          const depth = label.split("/").length - 1;
          const box = el("input", { type: "checkbox", checked: filters.labels.includes(label), onchange: () => choose(label, box.checked) });
          const text_ = el("span", {}, name.split("/").pop());
          return el("li", {}, el("label", { title: name, style: { "--depth": depth } }, box, text_, el("small", {}, grouped(pictures))));
        }),
      );
      if (!wanted.length) list.append(el("li", { class: "lk-lead" }, labels.length ? "No folder has that name." : "No folders."));
    };
    /** @type {(label: string, on: boolean) => void} */
    const choose = (label, on) => {
      const others = state.filters.labels.filter((each) => each !== label);
      change(filtering(state, { labels: on ? [...others, label] : others }));
    };
    fill("");
    const search = el("input", { type: "search", class: "lk-folder-search", placeholder: "Find a folder", "aria-label": "Find a folder", oninput: () => fill(search.value) });
    return el("fieldset", { class: "lk-filter-folders" }, el("legend", {}, "Folders"), search, list);
  }

  /** @param {Filters} filters */
  function shapes(filters) {
    /** @type {(value: string, name: string) => HTMLElement} */
    const choice = (value, name) =>
      el(
        "label",
        { class: "lk-shape" },
        el("input", { type: "radio", name: "lk-shape", value, checked: filters.shape === value, onchange: () => change(filtering(state, { shape: value })) }),
        el("span", {}, value ? el("i", { "data-shape": value }) : null, name),
      );
    const all = [["", "Any"], ...Object.entries(SHAPES)];
    return el("fieldset", { class: "lk-shapes" }, el("legend", {}, "Shape"), all.map(([value, name]) => choice(value, name)));
  }

  /** @param {State} next */
  function show(next) {
    state = next;
    const active = activeFilters(state);
    find("#lk-filter-count").textContent = active.length ? String(active.length) : "";
    sort.value = state.sort;
    fold.checked = state.fold;
    if (!timer) {
      threshold.value = String(state.threshold); // while it is moved, the hand is right
      find("#lk-threshold-value").textContent = `${state.threshold}%`;
    }
    /** @param {ReturnType<typeof activeFilters>[number]} active */
    const chip = ([name, value, said]) =>
      el(
        "li",
        {},
        el("button", { type: "button", class: "lk-active", title: "Remove", "aria-label": `Remove filter ${said}`, onclick: () => change(unfiltering(state, name, value)) }, said, icon("close", 12)),
      );
    const clear = el("li", {}, el("button", { type: "button", class: "lk-link", onclick: () => change(unfiltered(state)) }, "Remove all"));
    const list = find("#lk-active");
    const refocus = keepFocus(list, opener);
    list.hidden = active.length === 0;
    list.replaceChildren(...active.map(chip), ...(active.length > 1 ? [clear] : []));
    refocus?.();
  }

  return {
    show,
    setLabels(found) {
      labels = found;
      if (!panel.hidden) draw();
    },
  };
}
