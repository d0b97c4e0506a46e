// The picture that is searched with, whole, and a box on it: only what is inside is searched for. Drawn, moved and sized
// by mouse, finger or keys.

import { el, targetOf } from "./dom.js";

/** @import { Region } from "./types.d.ts" */
/** @typedef {[x: number, y: number]} Point */

/** @type {Region} */
const WHOLE = [0, 0, 1, 1];
const LEAST = 0.04; // of a side; less is a click
const STEP = 0.03;
/** @type {Record<string, Point>} */
const STEPS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const REST = 400; // ms after the last key
const KEYS = "Arrow keys move it, Shift and arrow keys resize it, Escape takes the whole picture.";

/** @type {(value: number, low: number, high: number) => number} */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
/** @param {Region} box */
const isWhole = (box) => box[2] > 0.985 && box[3] > 0.985;

/**
 * Fill `root`; `changed(region or null)` is called when the hand rests.
 * @param {Element} root
 * @param {{ changed: (region: Region | null) => void, undrawable: () => void }} handlers
 * @returns {{ show: (src: string, name: string, wanted: Region | null) => void, hide: () => void }}
 */
export function createStage(root, { changed, undrawable }) {
  const image = el("img", { class: "lk-query-picture", alt: "", draggable: false, onload: fit, onerror: () => undrawable() });
  const corners = ["nw", "ne", "sw", "se"].map((corner) => el("i", { "data-corner": corner }));
  const box = el("div", { class: "lk-box", tabIndex: 0, role: "group", "aria-roledescription": "selection" }, corners);
  const hint = el("span", { class: "lk-hint", "aria-hidden": "true" }, "Drag to search by a part");
  const stage = el("div", { class: "lk-stage", hidden: true }, image, box, hint);
  let region = WHOLE;
  let timer = 0;
  root.append(stage);

  function fit() {
    stage.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight || 1));
    stage.classList.add("is-drawn");
  }

  function draw() {
    const whole = isWhole(region);
    const names = ["left", "top", "width", "height"];
    names.forEach((name, i) => box.style.setProperty(name, `${100 * (whole ? WHOLE : region)[i]}%`));
    box.classList.toggle("is-whole", whole);
    stage.classList.toggle("has-region", !whole);
    const [x, y, width, height] = region.map((side) => Math.round(100 * side));
    const said = whole ? "The whole picture is searched for." : `A part ${width}% wide and ${height}% high, ${x}% from the left, ${y}% from the top.`;
    box.setAttribute("aria-label", `${said} ${whole ? "Enter draws a box on it." : KEYS}`);
  }

  function finish() {
    timer = 0;
    changed(isWhole(region) ? null : /** @type {Region} */ (region.map((side) => Math.round(side * 1e4) / 1e4)));
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    const frame = stage.getBoundingClientRect();
    /** @type {(e: PointerEvent) => Point} */
    const place = (e) => [clamp((e.clientX - frame.left) / frame.width, 0, 1), clamp((e.clientY - frame.top) / frame.height, 0, 1)];
    const before = region;
    const from = place(event);
    const corner = targetOf(event)?.getAttribute("data-corner");
    const drag = corner ? sizing(before, corner) : !isWhole(before) && event.target === box ? moving(before, from) : drawing(from);
    let moved = false;
    stage.setPointerCapture(event.pointerId);
    /** @param {PointerEvent} e */
    const move = (e) => {
      const next = drag(place(e));
      moved ||= Math.hypot(place(e)[0] - from[0], place(e)[1] - from[1]) > 0.01;
      if (moved) [region] = [next];
      draw();
    };
    /** @param {PointerEvent} e */
    const end = (e) => {
      stage.removeEventListener("pointermove", move);
      stage.removeEventListener("pointerup", end);
      stage.removeEventListener("pointercancel", end);
      const kept = e.type === "pointerup" && moved && region[2] >= LEAST && region[3] >= LEAST;
      if (!kept) region = before;
      draw();
      box.focus({ preventScroll: true });
      if (kept) finish();
    };
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
  });

  box.addEventListener("keydown", (event) => {
    const whole = isWhole(region);
    const [dx, dy] = STEPS[event.key] ?? [];
    const [x, y, width, height] = region;
    if (whole && (event.key === "Enter" || event.key === " " || (dx !== undefined && event.shiftKey))) {
      region = [0.25, 0.25, 0.5, 0.5];
    } else if (!whole && ["Escape", "Delete", "Backspace"].includes(event.key)) region = WHOLE;
    else if (!whole && dx !== undefined && event.shiftKey) {
      region = [x, y, clamp(width + dx, LEAST, 1 - x), clamp(height + dy, LEAST, 1 - y)];
    } else if (!whole && dx !== undefined) region = [clamp(x + dx, 0, 1 - width), clamp(y + dy, 0, 1 - height), width, height];
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
    clearTimeout(timer);
    timer = setTimeout(finish, REST);
  });

  return {
    show(src, name, wanted) {
      if (timer && image.src === src) return; // an answer came while the keys still move the box: their search follows
      clearTimeout(timer);
      timer = 0;
      if (image.src !== src) {
        stage.classList.remove("is-drawn");
        image.src = src;
      }
      image.alt = `The picture searched with: ${name}`;
      region = wanted ?? WHOLE;
      stage.hidden = false;
      draw();
    },
    hide() {
      clearTimeout(timer);
      timer = 0;
      stage.hidden = true;
      image.removeAttribute("src");
      image.alt = "";
    },
  };
}

/** @type {(from: Point) => (to: Point) => Region} */
const drawing = ([x, y]) => ([to, down]) => [Math.min(x, to), Math.min(y, down), Math.abs(to - x), Math.abs(down - y)];

/** @type {(box: Region, from: Point) => (to: Point) => Region} */
const moving = ([x, y, width, height], [fromX, fromY]) => ([to, down]) => [
  clamp(x + to - fromX, 0, 1 - width),
  clamp(y + down - fromY, 0, 1 - height),
  width,
  height,
];

/** @type {(box: Region, corner: string) => (to: Point) => Region} */
function sizing([x, y, width, height], corner) {
  /** @type {Point} */
  const fixed = [corner.endsWith("w") ? x + width : x, corner.startsWith("n") ? y + height : y];
  return drawing(fixed);
}
