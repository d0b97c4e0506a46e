// One vector cut into m pieces: what is left of it after its cell's centroid is taken off, what its code says of that, and the rest.
"use strict";
lookalike.view("pieces", (stage, data, page) => {
  const detail = page.document("detail"), width = page.width(stage);
  const controls = page.bar(stage), box = stage.appendChild(document.createElement("div"));
  picker(stage, controls, detail, page);
  const d = data.m * data.dsub, rows = data.m, columns = data.dsub;
  function draw(id) {
    const at = detail.ids.indexOf(id);
    box.replaceChildren();
    if (at < 0) return;
    const residual = detail.residuals[at], decoded = detail.decoded[at], rest = residual.map((v, i) => v - decoded[i]);
    const panels = [["the vector less its centroid, r = x − c", residual], [`its code of ${data.bytes} bytes says`, decoded], ["what is lost", rest]];
    const most = d3.quantile([...residual, ...decoded].map(Math.abs).sort(d3.ascending), 0.995) || 1, scale = page.scales.signed(most);
    const across = width > 720 ? 3 : 1, gap = 22, left = 26, w = (width - left - gap * (across - 1)) / across;
    const h = Math.max(6, Math.min(26, 460 / rows)), high = h * rows + 52;
    const svg = d3.select(box).append("svg").attr("viewBox", `0 0 ${width} ${high * (across === 1 ? 3 : 1)}`).attr("width", width);
    panels.forEach(([name, values], p) => {
      const g = svg.append("g").attr("transform", `translate(${left + (across === 1 ? 0 : p * (w + gap))},${across === 1 ? p * high : 0})`);
      g.append("text").attr("y", 16).style("font-weight", 600).text(name);
      const norm = Math.sqrt(d3.sum(values, (v) => v * v));
      g.append("text").attr("class", "soft").attr("y", 32).text(`squared length ${page.number(norm * norm, 4)}`);
      const canvas = document.createElement("canvas");
      canvas.width = columns; canvas.height = rows;
      const context = canvas.getContext("2d");
      values.forEach((v, i) => { context.fillStyle = scale(v); context.fillRect(i % columns, Math.floor(i / columns), 1, 1); });
      g.append("image").attr("y", 40).attr("width", w).attr("height", h * rows).attr("preserveAspectRatio", "none").style("image-rendering", "pixelated").attr("href", canvas.toDataURL());
      if (h > 9) g.selectAll(".cut").data(d3.range(1, rows)).join("line").attr("x2", w).attr("y1", (j) => 40 + j * h).attr("y2", (j) => 40 + j * h).attr("stroke", "var(--panel)").attr("stroke-width", 2);
      if (p === 0 || across === 1) g.selectAll(".no").data(d3.range(rows).filter((j) => h > 10 || j % 8 === 0)).join("text").attr("class", "soft").attr("x", -5).attr("text-anchor", "end").attr("y", (j) => 40 + (j + 0.5) * h + 4).style("font-size", "10.5px").text((j) => j);
      const hit = g.selectAll(".piece").data(d3.range(rows)).join("rect").attr("class", "piece").attr("data-piece", (j) => j).attr("y", (j) => 40 + j * h).attr("width", w).attr("height", h).attr("fill", "transparent");
      page.interactive(hit, (j) => {
        const part = values.slice(j * columns, (j + 1) * columns);
        return [[`Piece ${j} of ${rows}`, `code ${detail.codes[at][j]} of ${data.ksub}`, `squared length ${page.number(d3.sum(part, (v) => v * v))}`, part.slice(0, 8).map((v) => page.number(v, 3)).join(", ") + (columns > 8 ? " …" : "")], []];
      }, (j) => { document.documentElement.dataset.piece = j; page.showPiece?.(j); });
    });
    page.legend(box, [["signed", `−${page.number(most, 2)}`, `+${page.number(most, 2)}`]]);
    box.dataset.id = id;
    box.dataset.lost = d3.sum(rest, (v) => v * v);
  }
  page.onSelect(stage, draw);
});

// Buttons with the pictures that are told in full; whichever is chosen, all views of codes show it.
function picker(stage, bar, detail, page) {
  const group = bar.appendChild(document.createElement("span"));
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", "Stored vector");
  group.style.cssText = "display:flex;flex-wrap:wrap;gap:4px";
  const buttons = detail.ids.map((id, i) => {
    const button = group.appendChild(document.createElement("button"));
    button.type = "button";
    button.style.padding = "2px";
    button.style.minHeight = button.style.minWidth = "0";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", page.picture(id).name);
    button.dataset.id = id;
    const thumb = page.thumb(id, 40);
    if (detail.missed[i]) button.style.borderColor = button.style.background = "var(--missed)";
    button.appendChild(thumb);
    button.addEventListener("click", () => page.select(id));
    return button;
  });
  page.onSelect(stage, (id) => buttons.forEach((button) => {
    const on = button.dataset.id === String(id);
    button.setAttribute("aria-checked", on);
    button.style.outline = on ? "3px solid var(--focus)" : "";
  }));
}
