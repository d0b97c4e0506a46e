// A collection as a map on a canvas. Dots are written into the pixels of an image, which takes a few milliseconds for 50,000 and
// needs no graphics card; pictures come out of sheets of thumbnails once there is room for them.
lookalike.view("map", (stage, data, page) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const keep = stage.closest(".view").mapState || (stage.closest(".view").mapState = { unpacked: null, zoom: null, lit: data.hits.length > 0, only: -1, chosen: -1 });
  const all = keep.unpacked || (keep.unpacked = {
    x: Float32Array.from(new Uint16Array(bytes(data.x)), (v) => v / 65535), y: Float32Array.from(new Uint16Array(bytes(data.y)), (v) => v / 65535),
    groups: new Uint8Array(bytes(data.groups)), slots: data.atlas ? new Int32Array(bytes(data.atlas.slots)) : null, sheets: [],
  });
  const n = data.ids.length, { x: px, y: py, groups, slots } = all;
  const where = new Map(data.hits.map(([id], rank) => [id, rank]));
  const hits = data.hits.map(([id, similarity], rank) => ({ id, similarity, rank, i: data.ids.indexOf(id) })).filter((hit) => hit.i >= 0);
  // Okabe and Ito's colours, which all eyes tell apart, with violet for black; what has no colour of its own is grey
  const palette = page.isDark()
    ? ["#56b4e9", "#e69f00", "#2fc296", "#f0e442", "#d98cc0", "#ff7f3f", "#6d94ff", "#c9b8ff"]
    : ["#0072b2", "#e69f00", "#009e73", "#b8a800", "#cc79a7", "#d55e00", "#4cb4ec", "#6a3fa0"];
  const grey = page.isDark() ? "#6d747f" : "#b4b8bd";
  const hue = (group) => (group < data.coloured ? palette[group] : grey);

  // ---- what stands around the canvas
  const tools = page.bar(stage);
  const tool = (text, name, act) => {
    const made = tools.appendChild(document.createElement("button"));
    made.type = "button"; made.textContent = text; made.setAttribute("aria-label", name); made.addEventListener("click", act);
    return made;
  };
  tool("+", "Nearer", () => scale(1.6)); tool("−", "Further", () => scale(1 / 1.6)); tool("Whole map", "Whole map", () => whole());
  const light = hits.length ? tool(`Light the ${hits.length} results`, "Light the results", () => { keep.lit = !keep.lit; marked(); later(); }) : null;
  const marked = () => { if (light) light.setAttribute("aria-pressed", keep.lit); };
  marked();

  const width = page.width(stage), height = Math.round(Math.min(680, Math.max(400, width * 0.66)));
  const ratio = Math.min(2, window.devicePixelRatio || 1), W = Math.round(width * ratio), H = Math.round(height * ratio);
  const canvas = stage.appendChild(document.createElement("canvas"));
  canvas.width = W; canvas.height = H; canvas.tabIndex = 0;
  canvas.style.cssText = `width:${width}px;height:${height}px;border-radius:10px;touch-action:none;cursor:grab`;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `A map of ${n} pictures. Arrows go to the next picture, plus and minus zoom, Enter chooses, 0 shows all.`);
  const context = canvas.getContext("2d");
  const image = context.createImageData(W, H), pixels = new Uint32Array(image.data.buffer);
  const rgb = (text) => { const c = d3.color(text); return [c.r, c.g, c.b]; };
  const paper = rgb(page.color("wash")), pack = ([r, g, b]) => (255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r);
  const blank = pack(paper) >>> 0;
  const mix = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);
  const hues = [...Array(data.labels.length).keys()].map((group) => rgb(hue(group)));
  const order = Uint32Array.from(d3.sort(d3.range(n), (i) => -groups[i])); // grey below colours

  // ---- where things are: map (0 to 1) → screen, in pixels of the canvas
  const pad = 22 * ratio, room = { w: W - 2 * pad, h: H - 2 * pad };
  let view = keep.zoom || { k: 1, x: 0.5, y: 0.5 };
  const sx = (x) => (x - view.x) * view.k * room.w + W / 2, sy = (y) => (y - view.y) * view.k * room.h + H / 2;
  const back = (cx, cy) => [(cx - W / 2) / (view.k * room.w) + view.x, (cy - H / 2) / (view.k * room.h) + view.y];
  const clamp = () => {
    view.k = Math.max(1, Math.min(400, view.k));
    const free = Math.max(0, 0.5 - 0.5 / view.k) + 0.02;
    view.x = Math.max(0.5 - free, Math.min(0.5 + free, view.x)); view.y = Math.max(0.5 - free, Math.min(0.5 + free, view.y));
    keep.zoom = view;
  };
  const scale = (by, cx = W / 2, cy = H / 2) => {
    const [ax, ay] = back(cx, cy);
    view = { ...view, k: Math.max(1, Math.min(400, view.k * by)) };
    const [bx, by2] = back(cx, cy);
    view.x += ax - bx; view.y += ay - by2;
    clamp(); later();
  };
  const pan = (dx, dy) => { view = { ...view, x: view.x - dx / (view.k * room.w), y: view.y - dy / (view.k * room.h) }; clamp(); later(); };
  const whole = () => { view = { k: 1, x: 0.5, y: 0.5 }; clamp(); later(); };
  const show = (i, k = Math.max(view.k, Math.min(60, Math.sqrt(n) / 6))) => { view = { k, x: px[i], y: py[i] }; clamp(); later(); };

  // ---- dots: coverage of a disc, at quarters of a pixel, written once and blended by hand
  const discs = new Map();
  function disc(r, fx, fy) {
    const key = `${r}|${fx}|${fy}`;
    if (!discs.has(key)) {
      const side = Math.ceil(r) * 2 + 3, middle = (side - 1) / 2, parts = [];
      for (let v = 0; v < side; v++) for (let u = 0; u < side; u++) {
        const cover = Math.max(0, Math.min(1, r + 0.5 - Math.hypot(u - middle - fx / 4, v - middle - fy / 4)));
        if (cover > 0.04) parts.push([u - middle, v - middle, Math.round(cover * 256)]);
      }
      discs.set(key, parts);
    }
    return discs.get(key);
  }
  let offsets = null, offsetsOf = 0;
  function stamps(r) { // 16 discs as flat arrays of offset and coverage
    if (offsetsOf !== r) {
      offsets = d3.range(16).map((i) => { const d = disc(r, i % 4, i >> 2); return { at: Int32Array.from(d, (p) => p[1] * W + p[0]), cover: Uint16Array.from(d, (p) => p[2]) }; });
      offsetsOf = r;
    }
    return offsets;
  }
  function dots(r, seen) {
    pixels.fill(blank);
    const stamp = stamps(r), edge = Math.ceil(r) + 2, dim = keep.lit && hits.length;
    const table = hues.map((c, group) => mix(c, paper, keep.only >= 0 && keep.only !== group ? 0.88 : dim ? 0.68 : 0));
    const solid = table.map((c) => pack(c) >>> 0);
    const kx = view.k * room.w, ox = W / 2 - view.x * kx, ky = view.k * room.h, oy = H / 2 - view.y * ky;
    let count = 0;
    for (let j = 0; j < n; j++) {
      const i = order[j], x = px[i] * kx + ox, y = py[i] * ky + oy;
      if (x < edge || y < edge || x >= W - edge || y >= H - edge) continue;
      seen[count++] = i;
      const ix = x | 0, iy = y | 0, { at, cover } = stamp[((x - ix) * 4 | 0) + (((y - iy) * 4 | 0) << 2)];
      const group = groups[i], full = solid[group], [r0, g0, b0] = table[group], base = iy * W + ix;
      for (let p = 0; p < at.length; p++) {
        const q = base + at[p], c = cover[p];
        if (c >= 250) { pixels[q] = full; continue; }
        const was = pixels[q], r1 = was & 255, g1 = (was >> 8) & 255, b1 = (was >> 16) & 255;
        pixels[q] = (255 << 24) | ((b1 + (((b0 - b1) * c) >> 8)) << 16) | ((g1 + (((g0 - g1) * c) >> 8)) << 8) | (r1 + (((r0 - r1) * c) >> 8));
      }
    }
    context.putImageData(image, 0, 0);
    return count;
  }

  // ---- pictures
  function sheet(number) {
    if (!all.sheets[number]) {
      const made = all.sheets[number] = new Image();
      made.onload = () => { made.ready = true; keep.redraw(); };
      made.src = data.atlas.sheets[number];
    }
    return all.sheets[number];
  }
  function source(i) {
    if (!slots || slots[i] < 0) return null;
    const { side, columns } = data.atlas, per = columns * columns, slot = slots[i] % per;
    return [sheet(Math.floor(slots[i] / per)), (slot % columns) * side, Math.floor(slot / columns) * side, side];
  }
  function picture(i, cx, cy, size, frame, thick = 2) {
    const from = source(i);
    const x = Math.round(cx - size / 2), y = Math.round(cy - size / 2);
    context.fillStyle = frame;
    context.fillRect(x - thick, y - thick, size + 2 * thick, size + 2 * thick);
    if (from && from[0].ready) context.drawImage(from[0], from[1], from[2], from[3], from[3], x, y, size, size);
    else { context.fillStyle = page.color("wash"); context.fillRect(x, y, size, size); }
  }
  const seen = new Uint32Array(n);
  function pictures(count, dim) {
    if (!slots || !count || (keep.lit && hits.length && view.k < 3)) return 0;
    const size = Math.round(Math.min(72 * ratio, Math.sqrt((W * H) / count) * 0.62));
    if (size < 15 * ratio) return 0;
    const taken = {}, step = size * 1.16, drawn = [];
    for (let j = count - 1; j >= 0; j--) {
      const i = seen[j];
      if (slots[i] < 0 || (keep.only >= 0 && groups[i] !== keep.only)) continue;
      const x = sx(px[i]), y = sy(py[i]), u = Math.floor(x / step), v = Math.floor(y / step);
      let free = true;
      for (let b = -1; b <= 1 && free; b++) for (let a = -1; a <= 1; a++) {
        const other = taken[(u + a) + "," + (v + b)];
        if (other && Math.abs(other[0] - x) < step && Math.abs(other[1] - y) < step) { free = false; break; }
      }
      if (!free) continue;
      taken[u + "," + v] = [x, y];
      drawn.push(i);
      if (drawn.length >= 900) break;
    }
    context.globalAlpha = dim ? 0.45 : 1;
    for (const i of drawn) picture(i, sx(px[i]), sy(py[i]), size, hue(groups[i]), Math.max(1.5, 1.6 * ratio));
    context.globalAlpha = 1;
    return drawn.length;
  }
  function ring(i, size, colour, text) {
    const x = sx(px[i]), y = sy(py[i]);
    if (x < -size || y < -size || x > W + size || y > H + size) return;
    if (source(i)) picture(i, x, y, size, colour, 2.5 * ratio);
    else { context.beginPath(); context.arc(x, y, 7 * ratio, 0, 7); context.lineWidth = 3 * ratio; context.strokeStyle = colour; context.stroke(); }
    if (!text) return;
    context.font = `600 ${11 * ratio}px system-ui, sans-serif`;
    const wide = Math.max(16 * ratio, context.measureText(text).width + 8 * ratio), bx = x - size / 2 - 4 * ratio, by = y - size / 2 - 6 * ratio;
    context.fillStyle = colour; context.beginPath(); context.roundRect(bx, by, wide, 16 * ratio, 8 * ratio); context.fill();
    context.fillStyle = page.color("panel"); context.textAlign = "center"; context.textBaseline = "middle";
    context.fillText(text, bx + wide / 2, by + 8.5 * ratio);
  }
  let waiting = 0;
  const later = () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; draw(); }); };
  keep.redraw = later;
  function draw() {
    const r = Math.max(1.4, Math.min(5, 34 / Math.sqrt(n) + Math.log2(view.k) * 0.55 + 1)) * ratio;
    const count = dots(Math.round(r * 2) / 2, seen);
    const thumbs = pictures(count, keep.lit && hits.length);
    if (keep.lit) for (const hit of [...hits].reverse()) ring(hit.i, Math.round((view.k > 6 ? 64 : width < 560 ? 30 : 44) * ratio), page.color("kept"), String(hit.rank + 1));
    if (keep.chosen >= 0) ring(keep.chosen, Math.round(64 * ratio), page.color("focus"), "");
    canvas.dataset.shown = count; canvas.dataset.thumbnails = thumbs; canvas.dataset.zoom = view.k.toFixed(2);
  }

  // ---- pointer, touch, keys
  const tree = all.tree || (all.tree = d3.quadtree(d3.range(n), (i) => px[i], (i) => py[i]));
  function nearest(cx, cy, within = 18 * ratio) {
    const [x, y] = back(cx, cy), radius = within / (view.k * Math.min(room.w, room.h));
    const found = tree.find(x, y, radius);
    return found !== undefined && Math.hypot(sx(px[found]) - cx, sy(py[found]) - cy) <= within * 2 ? found : -1;
  }
  function crop(i, side) {
    const from = source(i);
    if (!from || !from[0].ready) return null;
    const small = document.createElement("canvas");
    small.width = small.height = side;
    small.getContext("2d").drawImage(from[0], from[1], from[2], from[3], from[3], 0, 0, side, side);
    return small.toDataURL("image/png");
  }
  function known(i) {
    const id = data.ids[i], pictures = page.document("pictures");
    if (!pictures[id] || !pictures[id].src) pictures[id] = { name: data.names[i], src: crop(i, 96) || undefined };
    return pictures[id];
  }
  const lines = (i) => [data.names[i], data.labels[groups[i]], where.has(data.ids[i]) ? `result ${where.get(data.ids[i]) + 1} of the search` : null];
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio]; };
  const held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); held.set(event.pointerId, at(event)); moved = 0; canvas.style.cursor = "grabbing"; });
  canvas.addEventListener("pointermove", (event) => {
    const [cx, cy] = at(event), was = held.get(event.pointerId);
    if (!was) {
      const i = nearest(cx, cy);
      canvas.dataset.hover = i >= 0 ? data.ids[i] : "";
      if (i < 0) page.tip.hide(); else { known(i); page.tip.show(event, lines(i), [data.ids[i]]); }
      canvas.style.cursor = i < 0 ? "grab" : "pointer";
      return;
    }
    page.tip.hide();
    if (held.size === 1) { pan(cx - was[0], cy - was[1]); moved += Math.hypot(cx - was[0], cy - was[1]); }
    else {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(was[0] - other[0], was[1] - other[1]), after = Math.hypot(cx - other[0], cy - other[1]);
      if (before > 4) scale(after / before, other[0], other[1]);
      moved += 99;
    }
    held.set(event.pointerId, [cx, cy]);
  });
  const release = (event) => {
    const was = held.get(event.pointerId);
    held.delete(event.pointerId);
    canvas.style.cursor = "grab";
    if (was && event.type === "pointerup" && moved < 6 * ratio) { const i = nearest(...at(event), 24 * ratio); if (i >= 0) choose(i); }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { if (!held.size) page.tip.hide(); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); scale(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event)); }, { passive: false });
  canvas.addEventListener("dblclick", (event) => scale(2, ...at(event)));
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) { const i = next(way); if (i >= 0) { choose(i); if (sx(px[i]) < 0 || sx(px[i]) > W || sy(py[i]) < 0 || sy(py[i]) > H) show(i, view.k); } }
    else if (event.key === "+" || event.key === "=") scale(1.6);
    else if (event.key === "-") scale(1 / 1.6);
    else if (event.key === "0") whole();
    else if (event.key === "Enter" && keep.chosen >= 0) show(keep.chosen);
    else if (event.key === "Escape") { keep.chosen = -1; said(); later(); }
    else return;
    event.preventDefault(); event.stopPropagation();
  });
  function next([dx, dy]) { // the nearest picture in that quarter
    if (keep.chosen < 0) return nearest(W / 2, H / 2, W);
    let best = -1, least = Infinity;
    for (let i = 0; i < n; i++) {
      const ax = (px[i] - px[keep.chosen]) * room.w, ay = (py[i] - py[keep.chosen]) * room.h, along = ax * dx + ay * dy, across = Math.abs(ax * dy) + Math.abs(ay * dx);
      if (along <= 0 || across > along || i === keep.chosen) continue;
      const far = along + 2 * across;
      if (far < least) { least = far; best = i; }
    }
    return best;
  }

  // ---- groups, the chosen picture, the results
  const legend = stage.appendChild(document.createElement("div"));
  legend.className = "legend";
  data.labels.forEach((text, group) => {
    const key = legend.appendChild(document.createElement("button"));
    key.type = "button"; key.className = "key"; key.style.cssText = "min-height:30px;padding:0 10px;font-size:13px";
    const dot = key.appendChild(document.createElement("span"));
    dot.style.cssText = `width:10px;height:10px;border-radius:50%;flex:none;background:${hue(group)}`;
    key.append(`${text} · ${page.number(data.sizes[group])}`);
    key.setAttribute("aria-pressed", keep.only === group);
    key.addEventListener("click", () => {
      keep.only = keep.only === group ? -1 : group;
      legend.querySelectorAll("button").forEach((other, i) => other.setAttribute("aria-pressed", keep.only === i));
      later();
    });
  });
  const panel = stage.appendChild(document.createElement("div"));
  panel.style.cssText = "display:flex;flex-wrap:wrap;gap:12px;align-items:center;min-height:88px;margin-top:12px;font-size:14px";
  panel.setAttribute("aria-live", "polite");
  function said() {
    panel.replaceChildren();
    const i = keep.chosen;
    if (i < 0) { panel.textContent = "Hover to see a picture; click, or use the arrow keys, to choose one."; panel.style.color = "var(--soft)"; return; }
    panel.style.color = "";
    known(i);
    panel.append(page.thumb(data.ids[i], 80));
    const text = panel.appendChild(document.createElement("div"));
    lines(i).concat(`id ${data.ids[i]}`).filter(Boolean).forEach((line, j) => {
      const row = text.appendChild(document.createElement("div"));
      row.textContent = line;
      row.style.cssText = j ? "color:var(--soft)" : "font-weight:600;overflow-wrap:anywhere";
    });
    const way = page.asker(data.ids[i]);
    if (way) panel.append(way);
  }
  function choose(i) { keep.chosen = i; known(i); said(); page.select(data.ids[i], { offer: false }); later(); }
  said();
  if (hits.length) {
    const row = stage.appendChild(document.createElement("div"));
    row.style.cssText = "display:flex;gap:8px;overflow-x:auto;padding:4px 2px 8px";
    const fill = () => {
      row.replaceChildren();
      for (const hit of hits) {
        known(hit.i);
        const made = row.appendChild(document.createElement("button"));
        made.type = "button"; made.style.cssText = "padding:4px;min-width:76px;height:auto;line-height:1.3;flex:none";
        made.dataset.id = hit.id;
        made.append(page.thumb(hit.id, 68), `${hit.rank + 1} · ${page.number(hit.similarity, 3)}`);
        made.addEventListener("click", () => { choose(hit.i); show(hit.i); });
      }
    };
    keep.redraw = () => { fill(); said(); later(); };
    fill();
  }
  canvas.map = { pan, scale, whole, show, draw, nearest, position: (i) => [sx(px[i]) / ratio, sy(py[i]) / ratio] };
  draw();
});
