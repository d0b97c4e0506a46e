// Every way to ask: choose, drop, paste, camera, address, words. Each ends in one call of `ask(parts)` or `refuse(error)`.

import { ApiError, markUndrawable, sourceOf } from "./api.js";
import { takePicture } from "./camera.js";
import { showChips } from "./chips.js";
import { el, finder, targetOf } from "./dom.js";
import { nameOfUrl, part } from "./query.js";
import { createStage } from "./region.js";
import { creditLine } from "./tiles.js";

/** @import { Part, Region, State } from "./types.d.ts" */
/** @typedef {(error: ApiError) => void} Refuse */
/** @typedef {(files: Iterable<File>, add?: boolean) => void} Take */
/** @typedef {(url: string, add?: boolean) => void} TakeUrl */
/**
 * What is done with what is given; `add` says whether it comes to what is asked already.
 * @typedef {object} Handlers
 * @property {(parts: Part[], add: boolean) => void} ask
 * @property {Refuse} refuse
 * @property {() => void} clear
 * @property {(key: string) => void} remove
 * @property {(key: string | null, region: Region | null) => void} cut
 * @property {number} maxBytes
 */

const MAX_FILES = 50;

/**
 * Wire the panel; returns `show(state)`, which draws what is asked.
 * @param {HTMLElement} root
 * @param {Handlers} handlers
 * @returns {{ show: (state: State) => void, isAdding: () => boolean, stopAdding: () => void }}
 */
export function createAsk(root, { ask, refuse, clear, remove, cut, maxBytes }) {
  const find = finder(root);
  const input = find("#lk-file", HTMLInputElement);
  const caption = find(".lk-query-caption");
  /** @type {State | null} */
  let shown = null;
  /** @type {string | null} */
  let picked = null;
  let isAdding = false;

  const stage = createStage(find(".lk-drop-frame"), {
    changed: (region) => cut(picked, region),
    undrawable: showServers,
  });
  /** @type {Take} */
  const take = (files, add = isAdding) => {
    const pictures = picturesIn(files);
    const tooLarge = pictures.find((file) => file.size > maxBytes);
    const total = pictures.reduce((sum, file) => sum + file.size, 0);
    if (pictures.length > MAX_FILES) return refuse(new ApiError("TooMany", `Expected at most ${MAX_FILES} at a time, got ${pictures.length}.`));
    if (tooLarge || total > maxBytes) {
      const name = tooLarge ? tooLarge.name : `${pictures.length} pictures together`;
      return refuse(new ApiError("PayloadTooLarge", `${name}: expected at most ${Math.round(maxBytes / 1e6)} MB.`));
    }
    return give(pictures.map((file) => part({ file, name: file.name || "pasted picture" })), add);
  };
  /** @type {TakeUrl} */
  const takeUrl = (url, add = isAdding) => give([part({ url, name: nameOfUrl(url) })], add);
  /** @type {(parts: Part[], add?: boolean) => void} */
  const give = (parts, add = isAdding) => {
    setAdding(false);
    ask(parts, add);
  };
  /** @param {boolean} on */
  const setAdding = (on) => {
    if (on === isAdding) return;
    isAdding = on;
    document.body.classList.toggle("lk-adding", on);
    if (shown) show(shown);
  };

  input.addEventListener("change", () => {
    if (input.files?.length) take(input.files);
    input.value = ""; // choosing the same file again is a search again
  });
  listenForDrops({ take, takeUrl, refuse });
  listenForPastes({ take, takeUrl });
  find("#lk-choose").addEventListener("click", () => input.click());
  find("#lk-paste").addEventListener("click", () => pasteFromButton({ take, takeUrl, refuse }));
  find("#lk-camera").addEventListener("click", () => takePicture(root, (file) => take([file]), refuse));
  find("#lk-url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = find("#lk-url", HTMLInputElement);
    const said = field.value.trim();
    if (!said) return field.focus();
    if (isAddress(said)) takeUrl(said);
    else give([part({ text: said, name: said })]);
    field.value = "";
  });
  find(".lk-clear").addEventListener("click", () => {
    setAdding(false);
    clear();
    input.focus();
  });
  find(".lk-whole").addEventListener("click", () => cut(picked, null));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isAdding && !document.querySelector("dialog[open]")) setAdding(false);
  });

  /** @param {State} state */
  function show(state) {
    shown = state;
    const pictures = state.parts.filter((each) => !each.text);
    const stands = pictures.find((each) => each.key === picked) ?? pictures.at(-1);
    picked = stands?.key ?? null;
    const isEmpty = state.parts.length + state.like.length === 0;
    find(".lk-clear").hidden = isEmpty;
    const src = stands && sourceOf(stands);
    if (stands && src && !isAdding) stage.show(src, stands.name ?? "a picture", stands.region);
    else stage.hide();
    find(".lk-drop").classList.toggle("is-filled", Boolean(src) && !isAdding);
    find(".lk-drop-text strong").textContent = isAdding ? "Add a picture" : "Drop a picture";
    find(".lk-drop-text span").textContent = isAdding ? "drop, paste, type or click one" : "or click to choose one";
    caption.hidden = !stands;
    find(".lk-whole").hidden = !stands?.region;
    caption.replaceChildren(...(stands ? captionOf(stands) : []));
    showChips(find(".lk-chips"), state, {
      picked,
      isAdding,
      remove,
      pick: (key) => {
        picked = key;
        if (isAdding) setAdding(false);
        else show(state);
      },
      toggleAdding: () => setAdding(!isAdding),
    });
  }

  /** What this browser cannot draw, such as HEIC, comes as the server's JPEG of it, once it has answered. */
  function showServers() {
    const failed = shown?.parts.find((each) => each.key === picked);
    if (shown && failed?.file && markUndrawable(failed.file)) show(shown);
  }

  /** @param {Part} stands */
  const captionOf = (stands) => {
    const credit = creditLine(stands.credit);
    return [el("strong", { title: stands.name }, stands.name), ...(credit ? [credit] : [])];
  };

  return { show, isAdding: () => isAdding, stopAdding: () => isAdding && setAdding(false) };
}

/** @param {string} said */
const isAddress = (said) => /^[a-z][a-z0-9+.-]*:\S/i.test(said) && !/\s/.test(said);

/**
 * Those that say they are pictures; if none does, the first, which the server will refuse by name.
 * @param {Iterable<File>} files
 */
function picturesIn(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(file.name));
  return pictures.length ? pictures : [...files].slice(0, 1);
}

/** @param {{ take: Take, takeUrl: TakeUrl, refuse: Refuse }} handlers */
function listenForDrops({ take, takeUrl, refuse }) {
  let depth = 0;
  /** @param {DragEvent} event */
  const over = (event) => {
    if (!event.dataTransfer) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  };
  /** @param {boolean} on */
  const mark = (on) => document.body.classList.toggle("lk-dragging", on);
  window.addEventListener("dragenter", (event) => {
    over(event);
    depth += 1;
    mark(true);
  });
  window.addEventListener("dragover", over);
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) mark(false);
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark(false);
    if (!event.dataTransfer) return;
    const { files } = event.dataTransfer;
    const url = event.dataTransfer.getData("text/uri-list").split("\n")[0].trim();
    const add = targetOf(event)?.closest(".lk-chips") ? true : undefined; // dropped on the chips: one more
    if (files.length) take(files, add);
    else if (/^https?:/i.test(url)) takeUrl(url, add);
    else refuse(new ApiError("ImageError", "What was dropped is neither a picture nor the address of one."));
  });
  finder(document)("#lk-ask").addEventListener("dragstart", (event) => event.preventDefault());
}

/** @param {{ take: Take, takeUrl: TakeUrl }} handlers */
function listenForPastes({ take, takeUrl }) {
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData) return;
    const { files } = event.clipboardData;
    if (files.length) {
      event.preventDefault();
      take(files);
      return;
    }
    if (targetOf(event)?.closest("input, textarea")) return;
    const text = event.clipboardData.getData("text/plain").trim();
    if (/^https?:\/\/\S+$/i.test(text)) takeUrl(text);
  });
}

/** @param {{ take: Take, takeUrl: TakeUrl, refuse: Refuse }} handlers */
async function pasteFromButton({ take, takeUrl, refuse }) {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) {
        take([new File([await item.getType(type)], "pasted picture", { type })]);
        return;
      }
    }
    const text = (await navigator.clipboard.readText()).trim();
    if (/^https?:\/\/\S+$/i.test(text)) takeUrl(text);
    else refuse(new ApiError("Clipboard", "Copy a picture first, for instance from a chat, then paste it here."));
  } catch {
    refuse(new ApiError("Clipboard", "The browser does not let this page read the clipboard; press Ctrl V (on a Mac ⌘ V) instead."));
  }
}
