// Estimated against true distance of every vector that was scanned, with the codes' error.
"use strict";
lookalike.view("errors", (stage, data, page) => {
  if (!data.ids.length) {
    stage.appendChild(document.createElement("p")).textContent = "The visited cells are empty, so nothing was estimated.";
    return;
  }
  const width = page.width(stage), height = Math.min(560, Math.max(340, width * 0.55)), box = { left: 62, right: 16, top: 16, bottom: 48 };
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
  const all = [...data.exact, ...data.estimated], x = d3.scaleLinear(d3.extent(data.exact), [box.left + 8, width - box.right]).nice(), y = d3.scaleLinear(d3.extent(all), [height - box.bottom - 4, box.top]).nice();
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - box.bottom})`).call(d3.axisBottom(x).ticks(width / 110));
  svg.append("g").attr("class", "axis").attr("transform", `translate(${box.left},0)`).call(d3.axisLeft(y).ticks(7));
  svg.append("text").attr("x", width - box.right).attr("y", height - 10).attr("text-anchor", "end").text("true distance →");
  svg.append("text").attr("x", box.left + 6).attr("y", 12).text("↑ estimated from the code");
  const [a, b] = [Math.max(x.domain()[0], y.domain()[0]), Math.min(x.domain()[1], y.domain()[1])];
  svg.append("line").attr("x1", x(a)).attr("y1", y(a)).attr("x2", x(b)).attr("y2", y(b)).attr("stroke", "var(--faint)").attr("stroke-dasharray", "5 4");
  const lines = [[null, data.worst, "the last one kept by code"], [data.kth, null, "the last true neighbour"]];
  for (const [vx, vy, name] of lines) {
    if (vx === null && vy === null) continue;
    const mark = svg.append("line").attr("stroke", vy === null ? "var(--query)" : "var(--kept)").attr("stroke-width", 1.2);
    if (vy !== null) { mark.attr("x1", box.left).attr("x2", width - box.right).attr("y1", y(vy)).attr("y2", y(vy)); svg.append("text").attr("x", width - box.right).attr("y", y(vy) - 5).attr("text-anchor", "end").attr("class", "soft").text(`${name}: ${page.number(vy)}`); }
    else { mark.attr("x1", x(vx)).attr("x2", x(vx)).attr("y1", box.top).attr("y2", height - box.bottom); svg.append("text").attr("x", x(vx) + 6).attr("y", box.top + 12).attr("class", "soft").text(`${name}: ${page.number(vx)}`); }
  }
  const kept = new Set(data.kept), missed = new Set(data.missed), kind = (id) => (missed.has(id) ? "missed" : kept.has(id) ? "kept" : "dot");
  const rank = { dot: 0, kept: 1, missed: 2 }, order = d3.range(data.ids.length).sort((i, j) => rank[kind(data.ids[i])] - rank[kind(data.ids[j])]);
  const points = svg.append("g").selectAll("path").data(order).join("path").attr("class", "vector").attr("data-id", (i) => data.ids[i]).attr("data-distance", (i) => data.estimated[i]).attr("data-exact", (i) => data.exact[i])
    .attr("transform", (i) => `translate(${x(data.exact[i]).toFixed(1)},${y(data.estimated[i]).toFixed(1)})`);
  points.each(function (i) {
    const what = kind(data.ids[i]), path = d3.select(this).attr("d", page.symbol(what, what === "dot" ? 3 : 6));
    if (what === "dot") path.attr("fill", "var(--soft)").attr("fill-opacity", 0.5); else page.draw(path, what, what);
  });
  const bars = svg.append("g").attr("pointer-events", "none").selectAll("g").data(data.bars).join("g").attr("class", "error-bar").attr("data-bias", (d) => d.bias).attr("data-sd", (d) => d.sd);
  const mid = (d) => y(d.exact + d.bias);
  bars.append("line").attr("x1", (d) => x(d.exact)).attr("x2", (d) => x(d.exact)).attr("y1", (d) => y(d.exact + d.bias - d.sd)).attr("y2", (d) => y(d.exact + d.bias + d.sd)).attr("stroke", "var(--focus)").attr("stroke-width", 2.5);
  for (const s of [-1, 1]) bars.append("line").attr("x1", (d) => x(d.exact) - 5).attr("x2", (d) => x(d.exact) + 5).attr("y1", (d) => y(d.exact + d.bias + s * d.sd)).attr("y2", (d) => y(d.exact + d.bias + s * d.sd)).attr("stroke", "var(--focus)").attr("stroke-width", 2.5);
  bars.append("circle").attr("cx", (d) => x(d.exact)).attr("cy", mid).attr("r", 3.5).attr("fill", "var(--focus)");
  page.interactive(points, (i) => [[page.picture(data.ids[i]).name, `true ${page.number(data.exact[i], 6)}`, `estimated ${page.number(data.estimated[i], 6)}`, `off by ${page.number(data.estimated[i] - data.exact[i], 4)}`], [data.ids[i]]], (i) => page.select(data.ids[i]));
  page.legend(stage, [["mark", "dot", "soft", "scanned"], ["mark", "dot", "kept", "kept"], ["mark", "missed", "missed", "true neighbour, missed"], ["mark", "dot", "focus", "mean of a tenth of them, ± one standard deviation"]]);
});
