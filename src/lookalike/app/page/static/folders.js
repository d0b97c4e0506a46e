// Choosing a folder of this machine, and the name of the collection that is made from it.

import { ApiError } from "./api.js";
import { el, setText } from "./dom.js";
import { alertBox, ask, button, many } from "./sheet.js";
import { createTurns } from "./turns.js";

/** @import { Collection, CollectionsContext, Folders, Job } from "./types.d.ts" */

/**
 * The view in which a new collection is made; `collections` are those that there are.
 * @param {CollectionsContext} context
 * @param {Collection[]} collections
 */
export function newCollection(context, collections) {
  const { sheet } = context;
  /** @type {{ folder: string | null, isNamed: boolean }} */
  const state = { folder: null, isNamed: false };
  const beginLook = createTurns();
  const path = el("input", { id: "lk-folder", type: "text", class: "lk-input", autocomplete: "off", spellcheck: false, maxLength: 4096, "aria-describedby": "lk-folder-facts" });
  const crumbs = el("nav", { class: "lk-crumbs", "aria-label": "Folders above" });
  const folders = el("ul", { class: "lk-subfolders", "aria-label": "Folders in it" });
  const facts = el("p", { id: "lk-folder-facts", class: "lk-facts", role: "status" });
  const name = el("input", { id: "lk-name", type: "text", class: "lk-input", autocomplete: "off", spellcheck: false, maxLength: 200, oninput: () => rename() });
  const lost = el("div", { class: "lk-trouble" });
  const trouble = el("div", { class: "lk-trouble" });
  const go = button("Index this folder", null, { class: "is-primary", type: "submit" });
  const form = el(
    "form",
    { class: "lk-new", noValidate: true, onsubmit: submit },
    el("label", { htmlFor: "lk-folder" }, "Folder on this machine"),
    el("div", { class: "lk-path-row" }, path, button("Open", () => look(path.value.trim()))),
    lost,
    crumbs,
    folders,
    facts,
    el("label", { htmlFor: "lk-name" }, "Name of the collection"),
    name,
    trouble,
    el("div", { class: "lk-sheet-foot" }, button("Back", context.list), go),
  );
  path.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // typing a path is looking at it, not indexing it
    look(path.value.trim());
  });

  /**
   * Show a folder; false where it cannot be, or where another was asked for meanwhile.
   * @param {string} folder
   * @param {boolean} [focus]
   * @returns {Promise<boolean>}
   */
  async function look(folder, focus = false) {
    const isLast = beginLook();
    const typed = path.value;
    try {
      /** @type {Folders} */
      const found = await ask(`folders?path=${encodeURIComponent(folder)}`);
      if (!isLast()) return false;
      state.folder = found.path;
      if (path.value === typed) setText(path, found.path); // what is typed meanwhile stays
      if (!state.isNamed) setText(name, found.name);
      lost.replaceChildren();
      trouble.replaceChildren();
      draw(found);
      rename();
      if (focus) (folders.querySelector("button") ?? path).focus();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!isLast()) return false;
      lost.replaceChildren(alertBox(error.message));
      path.setAttribute("aria-invalid", "true");
      path.focus();
      return false;
    }
  }

  /** @param {Folders} found */
  function draw(found) {
    path.removeAttribute("aria-invalid");
    const above = found.crumbs.slice(0, -1);
    crumbs.replaceChildren(
      ...above.flatMap((crumb) => [el("button", { type: "button", onclick: () => look(crumb.path, true) }, crumb.name), el("span", { "aria-hidden": "true" }, "›")]),
      el("b", { "aria-current": "page" }, found.crumbs.at(-1)?.name),
    );
    /** @param {string} each */
    const inside = (each) => `${found.path.replace(/[\\/]$/, "")}${found.path.includes("\\") ? "\\" : "/"}${each}`;
    folders.replaceChildren(...found.folders.map((each) => el("li", {}, el("button", { type: "button", onclick: () => look(inside(each), true) }, each))));
    folders.hidden = !found.folders.length;
    const here = found.pictures ? many(found.pictures, "picture") : "No pictures";
    const below = found.folders.length ? `, and ${many(found.folders.length, "folder")} that ${found.folders.length === 1 ? "is" : "are"} looked through too` : "";
    facts.textContent = `${here} directly in it${below}.`;
  }

  function rename() {
    if (document.activeElement === name) state.isNamed = name.value !== "";
    const taken = collections.find((item) => item.name === name.value.trim());
    const isOwn = (taken?.folders ?? []).some((folder) => folder.path === state.folder);
    go.textContent = taken && isOwn ? "Update it" : "Index this folder";
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    // What stands in the field counts, looked at or not.
    if (path.value.trim() !== state.folder && !(await look(path.value.trim()))) return;
    await start(false);
  }

  /** @param {boolean} join */
  async function start(join) {
    const chosen = name.value.trim();
    const taken = collections.find((item) => item.name === chosen);
    const isOwn = (taken?.folders ?? []).some((folder) => folder.path === state.folder);
    if (taken && !isOwn && !join) {
      const add = button(`Add this folder to ${chosen}`, () => start(true));
      trouble.replaceChildren(alertBox(`There is a collection called ${chosen} already. Give this one another name, or put both into one.`), add);
      name.focus();
      return;
    }
    try {
      const json = { folder: state.folder, name: chosen || null, join };
      /** @type {Job} */
      const job = await ask("collections", { method: "POST", json });
      context.watch(job);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      trouble.replaceChildren(alertBox(error.message));
    }
  }

  sheet.show("New collection", form);
  look("");
  path.focus();
}
