// Every way to ask: choose, drop, paste, camera, address. Each ends in one call of `search(query)` or `refuse(error)`.

import { ApiError } from "./api.js";
import { el, icon } from "./dom.js";

/** Wire the ask panel; returns `show(picture)` and `clear()` for what the panel displays. */
export function createAsk(root, { search, refuse, cleared, maxBytes }) {
  const input = root.querySelector("#lk-file");
  const drop = root.querySelector(".lk-drop");
  const image = root.querySelector(".lk-query-picture");
  const caption = root.querySelector(".lk-query-caption");
  const clearButton = root.querySelector(".lk-clear");

  const take = (file) => {
    if (file.size > maxBytes) {
      refuse(new ApiError("PayloadTooLarge", `${file.name}: expected at most ${Math.round(maxBytes / 1e6)} MB.`));
      return;
    }
    search({ file, name: file.name || "pasted picture" });
  };

  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // choosing the same file again is a search again
  });
  listenForDrops(drop, take, search, refuse);
  listenForPastes(take, search);
  root.querySelector("#lk-paste").addEventListener("click", () => pasteFromButton(take, search, refuse));
  root.querySelector("#lk-camera").addEventListener("click", () => openCamera(take, refuse));
  root.querySelector("#lk-url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = root.querySelector("#lk-url");
    const url = field.value.trim();
    if (url) search({ url, name: nameOf(url) });
    else field.focus();
  });
  clearButton.addEventListener("click", () => {
    clear();
    cleared();
    input.focus();
  });

  function show({ src, name, note }) {
    if (image.src !== src) image.src = src;
    image.alt = `The picture searched with: ${name}`;
    drop.classList.add("is-filled");
    clearButton.hidden = false;
    caption.replaceChildren(el("strong", { title: name }, name), ...(note ? [note] : []));
    caption.hidden = false;
  }

  function clear() {
    image.removeAttribute("src");
    image.alt = "";
    drop.classList.remove("is-filled");
    clearButton.hidden = true;
    caption.hidden = true;
    caption.replaceChildren();
  }

  image.addEventListener("error", () => drop.classList.add("is-undrawable"));
  image.addEventListener("load", () => drop.classList.remove("is-undrawable"));
  return { show, clear };
}

function nameOf(url) {
  try {
    const { hostname, pathname } = new URL(url);
    return decodeURIComponent(pathname.split("/").pop()) || hostname;
  } catch {
    return url.slice(0, 60);
  }
}

const pictureIn = (files) => [...files].find((file) => file.type.startsWith("image/")) ?? files[0];

function listenForDrops(target, take, search, refuse) {
  let depth = 0;
  const over = (event) => {
    if (!event.dataTransfer) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  };
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
    const { files } = event.dataTransfer;
    const url = event.dataTransfer.getData("text/uri-list").split("\n")[0].trim();
    if (files.length) take(pictureIn(files));
    else if (/^https?:/i.test(url)) search({ url, name: nameOf(url) });
    else refuse(new ApiError("ImageError", "What was dropped is neither a picture nor the address of one."));
  });
  target.addEventListener("dragstart", (event) => event.preventDefault());
}

function listenForPastes(take, search) {
  document.addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length) {
      event.preventDefault();
      take(pictureIn(files));
      return;
    }
    if (event.target.closest?.("input, textarea")) return;
    const text = event.clipboardData.getData("text/plain").trim();
    if (/^https?:\/\/\S+$/i.test(text)) search({ url: text, name: nameOf(text) });
  });
}

async function pasteFromButton(take, search, refuse) {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) {
        take(new File([await item.getType(type)], "pasted picture", { type }));
        return;
      }
    }
    const text = (await navigator.clipboard.readText()).trim();
    if (/^https?:\/\/\S+$/i.test(text)) search({ url: text, name: nameOf(text) });
    else refuse(new ApiError("Clipboard", "Copy a picture first, for instance from a chat, then paste it here."));
  } catch {
    refuse(new ApiError("Clipboard", "The browser does not let this page look; press Ctrl V (on a Mac ⌘ V) instead."));
  }
}

async function openCamera(take, refuse) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1280 } });
  } catch (error) {
    const denied = error?.name === "NotAllowedError";
    refuse(new ApiError("Camera", denied ? "The browser was told not to use it." : "No camera was found."));
    return;
  }
  const video = el("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const shoot = () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && take(new File([blob], "camera picture", { type: blob.type })), "image/jpeg", 0.92);
    dialog.close();
  };
  const dialog = el(
    "dialog",
    { class: "lk-dialog", "aria-label": "Camera", onclose: close },
    video,
    el(
      "div",
      { class: "lk-dialog-row" },
      el("button", { type: "button", class: "lk-button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { type: "button", class: "lk-button is-primary", onclick: shoot }, icon("camera"), "Take the picture"),
    ),
  );
  document.querySelector("#lk-ask").append(dialog);
  dialog.showModal();
}
