// The page shell: what every view stands on. A view is a function (stage, data, page) registered under its kind:
//   lookalike.view("cells", (stage, data, page) => { … })
// It is called once the page is there, and again after a change of theme or width, with an empty stage. Text from outside is
// only ever set as text (textContent, .text()), never as HTML.
"use strict";
const lookalike = (() => {
  const kinds = new Map(), mounted = [], documents = new Map(), timelines = new Map(), selectors = new Set();
  const root = document.documentElement;

  function read(id) {
    if (!documents.has(id)) {
      const element = document.getElementById(id);
      documents.set(id, element ? JSON.parse(element.textContent) : null);
    }
    return documents.get(id);
  }

  // ---- numbers and colours ----------------------------------------------------------------------------------------
  const isDark = () => root.dataset.theme === "dark";
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function number(x, digits = 4) {
    if (x === null || x === undefined || Number.isNaN(x)) return "–";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
    const size = Math.abs(x);
    if (size < 5e-7) return "0";
    const text = Number.isInteger(x) && size < 1e15 ? x.toLocaleString("en")
      : size !== 0 && (size < 1e-4 || size >= 1e6) ? x.toExponential(2) : Number(x.toPrecision(digits)).toString();
    return text.replace("-", "−");
  }

  const clip = (low, high, f) => (t) => f(low + (high - low) * Math.min(1, Math.max(0, t)));
  // One colour scale per meaning, each from 0 to 1. A dark page turns the one-hue scales round, so that "much" stands out.
  const ramps = {
    distance: (t) => clip(isDark() ? 0.22 : 0, 1, d3.interpolateViridis)(1 - t), // near is bright, far is dark
    size: (t) => clip(0.12, 0.9, d3.interpolateYlGnBu)(isDark() ? 1 - t : t),
    spread: (t) => clip(0.12, 0.9, d3.interpolateBuPu)(isDark() ? 1 - t : t),
    signed: (t) => isDark() ? d3.interpolateRgbBasis(["#f6a94a", "#8a5a1c", "#22252b", "#5a4b9c", "#b9a5ff"])(1 - t) : d3.interpolatePuOr(t),
  };
  const label = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#ee7733", "#009988", "#997700"];
  const scales = {
    distance: (low, high) => d3.scaleSequential([low, high > low ? high : low + 1], ramps.distance),
    size: (low, high) => d3.scaleSequential([low, high > low ? high : low + 1], ramps.size),
    spread: (low, high) => d3.scaleSequential([low, high > low ? high : low + 1], ramps.spread),
    signed: (most) => d3.scaleSequential([-(most || 1), most || 1], ramps.signed),
    label: (n) => label[n % label.length],
  };

  // ---- pictures and what is said of a thing under the pointer -----------------------------------------------------
  const picture = (id) => (read("pictures") || {})[id] || { name: `id ${id}` };

  function thumb(id, side = 64) {
    const known = picture(id);
    let element;
    if (known.src) {
      element = document.createElement("img");
      element.src = known.src;
      element.alt = known.name;
    } else {
      element = document.createElement("div");
      element.textContent = known.name.split("/").pop();
    }
    element.className = known.src ? "thumb" : "thumb none";
    element.style.width = element.style.height = `${side}px`;
    element.title = known.name;
    return element;
  }

  const tip = (() => {
    let box = null;
    function show(at, lines, ids = []) {
      if (!box) {
        box = document.body.appendChild(document.createElement("div"));
        box.className = "tip";
        box.setAttribute("role", "status");
      }
      box.replaceChildren();
      const shown = ids.map((id) => [id, picture(id)]).filter(([, known]) => known.src);
      if (shown.length) {
        const pics = box.appendChild(document.createElement("div"));
        pics.className = shown.length > 1 ? "pics many" : "pics";
        for (const [, known] of shown) {
          const image = pics.appendChild(document.createElement("img"));
          image.src = known.src;
          image.alt = known.name;
        }
      }
      lines.filter((line) => line !== null && line !== undefined && line !== "").forEach((line, i) => {
        const row = box.appendChild(document.createElement("div"));
        row.textContent = line;
        if (i === 0) row.className = "name";
      });
      box.hidden = false;
      const [x, y] = place(at), { width, height } = box.getBoundingClientRect();
      const right = scrollX + root.clientWidth, top = scrollY;
      box.style.left = `${Math.max(scrollX + 4, x + 16 + width > right ? x - width - 14 : x + 16)}px`;
      box.style.top = `${Math.max(top + 4, y - height - 12 < top ? y + 18 : y - height - 12)}px`;
    }
    function place(at) {
      if (at.type && at.type.startsWith("focus") || at.pageX === undefined) {
        const box = (at.target || at).getBoundingClientRect();
        return [box.left + box.width / 2 + scrollX, box.top + box.height / 2 + scrollY];
      }
      return [at.pageX, at.pageY];
    }
    const hide = () => { if (box) box.hidden = true; };
    return { show, hide };
  })();

  // Hover, focus and touch of marks: `describe(d)` gives [lines, ids]; `choose(d)` is called on click, Enter or Space.
  // The marks of one selection are one stop of the Tab key; arrow keys go from one to the next, in the order of `marks`.
  function interactive(marks, describe, choose = null) {
    const nodes = marks.nodes();
    const show = (event, d) => { const [lines, ids] = describe(d); tip.show(event, lines, ids); };
    marks.attr("tabindex", (d, i) => (i === 0 ? 0 : -1))
      .style("cursor", choose ? "pointer" : "default")
      .on("pointerenter pointermove focus", show)
      .on("pointerleave blur", () => tip.hide())
      .on("click", (event, d) => { show(event, d); if (choose) choose(d, event); })
      .on("keydown", (event, d) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (step) {
          const at = nodes.indexOf(event.currentTarget);
          for (let next = at + step; next >= 0 && next < nodes.length; next += step) {
            if (nodes[next].getAttribute("visibility") === "hidden" || nodes[next].style.display === "none") continue;
            nodes[at].setAttribute("tabindex", -1);
            nodes[next].setAttribute("tabindex", 0);
            nodes[next].focus({ preventScroll: false });
            break;
          }
        } else if ((event.key === "Enter" || event.key === " ") && choose) choose(d, event);
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
    return marks;
  }

  // ---- one selection for the whole page ---------------------------------------------------------------------------
  // Chosen by somebody (not by the page itself), it is offered to be searched from, unless the view does that on its own.
  let selected = null;
  function select(id, { offer = true } = {}) {
    selected = id;
    root.dataset.selected = id;
    selectors.forEach((listener) => listener(id));
    if (offer) offered.show(id); else offered.hide();
  }

  // How to search from a picture: in the app a button, which asks the app; in a file a command, to be copied. Null where
  // there is nothing to search, or no command that would find it.
  function asker(id) {
    const command = read("ask"), box = document.createElement("div");
    if (!command && !root.dataset.embedded) return null;
    box.className = "ask";
    const button = document.createElement("button");
    button.type = "button";
    if (root.dataset.embedded) {
      button.textContent = "Search from it";
      button.className = "main";
      button.addEventListener("click", () => parent.postMessage({ lookalike: "search", id: Number(id) }, "*"));
      box.append(button);
      return box;
    }
    const code = document.createElement("code");
    code.textContent = `${command.before} ${Number(id)}${command.after}`;
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the command that searches from this picture");
    button.addEventListener("click", () => copy(code, button));
    box.append(code, button);
    return box;
  }

  async function copy(element, button) {
    getSelection().selectAllChildren(element);
    let done = false;
    try { await navigator.clipboard.writeText(element.textContent); done = true; } catch { done = document.execCommand("copy"); }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
  }

  const offered = (() => {
    let box = null;
    function show(id) {
      const way = asker(id);
      if (!way) return;
      if (!box) {
        box = document.body.appendChild(document.createElement("aside"));
        box.className = "offer";
        box.setAttribute("aria-label", "The chosen picture");
      }
      const name = document.createElement("div"), close = document.createElement("button");
      name.className = "name";
      name.textContent = picture(id).name;
      close.type = "button";
      close.textContent = "✕";
      close.setAttribute("aria-label", "Close");
      close.className = "close";
      close.addEventListener("click", hide);
      box.replaceChildren(thumb(id, 48), name, way, close);
      box.hidden = false;
    }
    const hide = () => { if (box) box.hidden = true; };
    return { show, hide };
  })();

  // Marks whose look is a few attributes: only those that change are touched, so that scrubbing stays fluid with thousands.
  function restyle(marks, look) {
    marks.each(function (d) {
      const wanted = look(d), key = wanted.join("|");
      if (this.look_ === key) return;
      this.look_ = key;
      ["visibility", "opacity", "stroke", "stroke-width"].forEach((name, i) => this.setAttribute(name, wanted[i]));
    });
  }

  // ---- playback ---------------------------------------------------------------------------------------------------
  // A timeline is a number of steps that several views can share: `page.timeline("search", labels)` gives the same one to all
  // who name it. `page.player(stage, timeline)` adds buttons; `timeline.on(stage, step => …)` is called now and at each change.
  function timeline(name, labels, { interval = 900 } = {}) {
    if (timelines.has(name)) return timelines.get(name);
    const listeners = new Set();
    let timer = null, settling = null, before = 0, hurry = 0;
    const inSight = (stage) => { const box = (stage.closest ? stage : root).getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
    const line = {
      name, labels, step: labels.length - 1, get count() { return labels.length; }, get playing() { return timer !== null; },
      on(stage, listener) { const entry = { stage, listener }; listeners.add(entry); listener(line.step); return line; },
      drop(stage) { listeners.forEach((entry) => { if (entry.stage === stage) listeners.delete(entry); }); },
      go(step) {
        line.step = Math.max(0, Math.min(labels.length - 1, Math.round(step)));
        // While somebody scrubs, views out of sight wait until the hand rests.
        const now = performance.now();
        hurry = now - before < 50 ? hurry + 1 : 0;
        before = now;
        clearTimeout(settling);
        listeners.forEach((entry) => { if (hurry < 3 || inSight(entry.stage)) entry.listener(line.step); });
        if (hurry >= 3) settling = setTimeout(() => listeners.forEach((entry) => entry.listener(line.step)), 140);
      },
      play() {
        if (timer !== null) return;
        if (line.step >= labels.length - 1) line.step = -1;
        const pace = Math.max(120, Math.min(interval, 14000 / labels.length));
        timer = setInterval(() => { if (line.step >= labels.length - 1) line.pause(); else line.go(line.step + 1); }, pace);
        line.go(line.step + 1);
      },
      pause() { clearInterval(timer); timer = null; line.go(line.step); },
      toggle() { if (line.playing) line.pause(); else line.play(); },
    };
    timelines.set(name, line);
    return line;
  }

  // Drawn, because fonts differ in which of these signs they have.
  const icons = { first: "M4 3v10M13 3 6 8l7 5z", back: "M11 3 5 8l6 5z", play: "M4 2.5 14 8 4 13.5z", pause: "M4 3h3v10H4zM9 3h3v10H9z", next: "M5 3l6 5-6 5z" };
  function icon(button, name) {
    button.replaceChildren();
    d3.select(button).append("svg").attr("viewBox", "0 0 16 16").attr("width", 16).attr("height", 16).attr("aria-hidden", "true")
      .append("path").attr("d", icons[name]).attr("fill", "currentColor").attr("stroke", "currentColor").attr("stroke-width", name === "first" ? 2 : 0.5);
  }

  function player(stage, line) {
    const box = stage.appendChild(document.createElement("div"));
    box.className = "player";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Playback");
    const button = (text, name, act, kind = "") => {
      const made = box.appendChild(document.createElement("button"));
      made.type = "button";
      made.className = kind;
      made.setAttribute("aria-label", name);
      made.addEventListener("click", act);
      icon(made, text);
      return made;
    };
    const stop = (step) => { if (line.playing) line.pause(); line.go(step); };
    button("first", "First step", () => stop(0));
    button("back", "Previous step", () => stop(line.step - 1));
    const play = button("play", "Play", () => line.toggle(), "play");
    button("next", "Next step", () => stop(line.step + 1));
    const range = box.appendChild(document.createElement("input"));
    Object.assign(range, { type: "range", min: 0, max: line.count - 1, step: 1 });
    range.setAttribute("aria-label", "Step");
    range.addEventListener("input", () => stop(Number(range.value)));
    const said = box.appendChild(document.createElement("output"));
    line.on(stage, (step) => {
      range.value = step;
      icon(play, line.playing ? "pause" : "play");
      play.setAttribute("aria-label", line.playing ? "Pause" : "Play");
      const b = document.createElement("b");
      b.textContent = `${step + 1} of ${line.count}`;
      said.replaceChildren(b, ` · ${line.labels[step]}`);
      range.setAttribute("aria-valuetext", `${step + 1} of ${line.count}: ${line.labels[step]}`);
      stage.closest(".view").dataset.step = step;
    });
    stage.closest(".view").onkeydown = (event) => {
      if (event.target.closest("input, select, textarea") && event.target !== range) return;
      if (event.key === " " && !event.target.closest("button, [tabindex]")) line.toggle();
      else if (event.target === range) return;
      else if (event.key === "ArrowRight") stop(line.step + 1);
      else if (event.key === "ArrowLeft") stop(line.step - 1);
      else if (event.key === "Home") stop(0);
      else if (event.key === "End") stop(line.count - 1);
      else return;
      event.preventDefault();
    };
    return box;
  }

  // ---- small parts ------------------------------------------------------------------------------------------------
  // A row of buttons of which one is on: choices(bar, "Colour", [["size", "by size"], …], chosen, choose)
  function choices(bar, title, options, chosen, choose) {
    const name = bar.appendChild(document.createElement("label"));
    name.textContent = title;
    const group = bar.appendChild(document.createElement("span"));
    group.className = "group";
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", title);
    const buttons = options.map(([value, text]) => {
      const made = group.appendChild(document.createElement("button"));
      made.type = "button";
      made.textContent = text;
      made.dataset.value = value;
      made.setAttribute("role", "radio");
      made.addEventListener("click", () => { mark(value); choose(value); });
      return made;
    });
    const mark = (value) => buttons.forEach((made) => made.setAttribute("aria-checked", made.dataset.value === String(value)));
    mark(chosen);
    return mark;
  }

  function bar(stage) {
    const made = stage.appendChild(document.createElement("div"));
    made.className = "bar";
    return made;
  }

  // A legend: items are ["distance", low text, high text] for a scale, or ["mark", symbol, colour name, text] for a mark.
  function legend(stage, items) {
    const box = stage.appendChild(document.createElement("div"));
    box.className = "legend";
    for (const item of items) {
      const key = box.appendChild(document.createElement("span"));
      key.className = "key";
      if (item[0] === "mark") {
        const svg = d3.select(key).append("svg").attr("viewBox", "-8 -8 16 16");
        draw(svg.append("path").attr("d", symbol(item[1], 6)), item[1], item[2]);
        key.append(item[3]);
      } else {
        key.append(item[1]);
        const canvas = key.appendChild(document.createElement("canvas"));
        canvas.width = 120;
        canvas.height = 1;
        const context = canvas.getContext("2d");
        for (let x = 0; x < 120; x++) { context.fillStyle = ramps[item[0]](x / 119); context.fillRect(x, 0, 1, 1); }
        key.append(item[2]);
      }
    }
    return box;
  }

  // Marks differ in shape as well as in colour: kept ●, missed ✕, the query a star, everything else a small dot.
  const shapes = { kept: d3.symbolCircle, missed: d3.symbolTimes || d3.symbolX, query: d3.symbolStar, dot: d3.symbolCircle, chosen: d3.symbolCircle };
  const symbol = (kind, r = 6) => d3.symbol(shapes[kind] || d3.symbolCircle, kind === "query" ? r * r * 3.4 : kind === "missed" ? r * r * 3 : r * r * Math.PI)();
  function draw(path, kind, name) {
    if (kind === "missed") path.attr("fill", "none").attr("stroke", `var(--${name})`).attr("stroke-width", 2.5);
    else if (kind === "ring") path.attr("fill", "none").attr("stroke", `var(--${name})`).attr("stroke-width", 2.5);
    else path.attr("fill", `var(--${name})`).attr("stroke", "var(--panel)").attr("stroke-width", 1);
    return path;
  }

  const page = {
    document: read, picture, thumb, tip, interactive, number, color, scales, ramps, isDark, select, asker, restyle, timeline, player, choices, bar,
    legend, symbol, draw,
    get selected() { return selected; },
    onSelect(stage, listener) { const entry = (id) => listener(id); entry.stage = stage; selectors.add(entry); if (selected !== null) listener(selected); },
    width: (stage) => Math.max(280, Math.floor(stage.clientWidth)),
    calm: () => matchMedia("(prefers-reduced-motion: reduce)").matches,
  };

  function render(item) {
    timelines.forEach((line) => line.drop(item.stage));
    selectors.forEach((entry) => { if (entry.stage === item.stage) selectors.delete(entry); });
    item.stage.replaceChildren();
    item.width = page.width(item.stage);
    kinds.get(item.kind)(item.stage, item.data, page);
    item.section.dataset.ready = "true";
  }
  const renderAll = () => mounted.forEach(render);

  function theme(choice) {
    root.dataset.theme = choice;
    const button = document.querySelector(".theme");
    button.textContent = choice === "dark" ? "☀" : "☾";
    button.setAttribute("aria-label", choice === "dark" ? "Light colours" : "Dark colours");
  }

  function start() {
    theme(root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    document.querySelector(".theme").addEventListener("click", () => { theme(isDark() ? "light" : "dark"); renderAll(); });
    for (const section of document.querySelectorAll(".view")) {
      const item = { section, kind: section.dataset.kind, stage: section.querySelector(".stage"), data: read(`${section.id}-data`) };
      mounted.push(item);
      render(item);
    }
    let waiting = null;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => mounted.filter((item) => item.width !== page.width(item.stage)).forEach(render), 120);
    });
    addEventListener("scroll", tip.hide, { passive: true });
    addEventListener("keydown", (event) => { if (event.key === "Escape") { tip.hide(); offered.hide(); } });
    // The app that shows this page in a frame says which result it is about.
    if (root.dataset.embedded) addEventListener("message", ({ source, data }) => {
      if (source === parent && data && data.lookalike === "select" && Number.isSafeInteger(data.id) && read("pictures")[data.id]) select(data.id, { offer: false });
    });
    root.dataset.ready = "true";
  }

  return { view: (kind, draw) => kinds.set(kind, draw), start, page };
})();
