// Fine search by distance: the query in the middle, each probed cell a sector, each vector as far out as its code is from the query.
"use strict";
lookalike.view("rings", (stage, data, page) => {
  const width = page.width(stage), side = Math.min(width, 760), r = side / 2 - 26;
  const svg = d3.select(stage).append("svg").attr("viewBox", `${-width / 2} ${-side / 2} ${width} ${side}`).attr("width", width).attr("height", side);
  const scale = data.descending ? page.scales.distance(data.high, data.low) : page.scales.distance(data.low, data.high);
  const shown = data.cells.length <= 40;
  const arc = d3.arc().innerRadius(0).outerRadius(r + 3);
  const sectors = svg.append("g").selectAll("path").data(data.cells).join("path").attr("class", "sector").attr("data-list", (d) => d.list_no)
    .attr("d", (d) => arc({ startAngle: d.start, endAngle: d.end })).attr("fill", (_, i) => (i % 2 ? "var(--wash)" : "transparent")).attr("stroke", "var(--line)");
  const ticks = d3.ticks(data.low, data.high, 5).filter((t) => t > data.low && t <= data.high);
  const radius = (v) => (0.06 + 0.94 * (data.descending ? data.high - v : v - data.low) / (data.high - data.low || 1)) * r;
  const rims = svg.append("g").selectAll("g").data(ticks).join("g");
  rims.append("circle").attr("r", radius).attr("fill", "none").attr("stroke", "var(--line)").attr("stroke-dasharray", "2 3");
  const names = svg.append("g").selectAll("text").data(shown ? data.cells : []).join("text").attr("text-anchor", "middle").style("font-size", "11.5px").attr("class", "soft")
    .attr("transform", (d) => { const a = (d.start + d.end) / 2; return `translate(${Math.sin(a) * (r + 15)},${-Math.cos(a) * (r + 15) + 4})`; }).text((d) => d.list_no);
  const kept = new Set(data.kept), final = new Set(data.final), missed = new Set(data.missed);
  const kind = (id) => (missed.has(id) ? "missed" : kept.has(id) ? "kept" : "dot");
  const order = d3.range(data.ids.length).sort((a, b) => data.radius[a] - data.radius[b]);
  const worst = data.worst === null ? null : svg.append("circle").attr("r", radius(data.worst)).attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", 1.8);
  const points = svg.append("g").selectAll("path").data(order).join("path").attr("class", "vector")
    .attr("data-id", (i) => data.ids[i]).attr("data-distance", (i) => data.distance[i]).attr("data-kind", (i) => kind(data.ids[i]))
    .attr("transform", (i) => `translate(${(Math.sin(data.angle[i]) * data.radius[i] * r).toFixed(1)},${(-Math.cos(data.angle[i]) * data.radius[i] * r).toFixed(1)})`);
  points.each(function (i) {
    const what = kind(data.ids[i]), path = d3.select(this).attr("d", page.symbol(what, what === "dot" ? (order.length > 800 ? 3 : 4.2) : 6));
    if (what === "missed") page.draw(path, "missed", "missed");
    else path.attr("fill", scale(data.distance[i])).attr("stroke", "var(--panel)").attr("stroke-width", 0.7);
  });
  svg.append("path").attr("d", page.symbol("query", 9)).attr("fill", "var(--query)").attr("stroke", "var(--panel)").attr("stroke-width", 1.8).attr("pointer-events", "none");
  rims.append("text").attr("y", (t) => -radius(t) - 3).attr("text-anchor", "middle").attr("class", "soft").style("font-size", "11px")
    .style("paint-order", "stroke").attr("stroke", "var(--panel)").attr("stroke-width", 3).text((t) => page.number(t, 3));
  page.interactive(points, (i) => [[page.picture(data.ids[i]).name, `distance by its code ${page.number(data.distance[i], 6)}`,
    `in cell ${data.cells[data.cell[i]].list_no}`, kept.has(data.ids[i]) ? "kept" : missed.has(data.ids[i]) ? "a true neighbour, missed: its code is too coarse" : ""], [data.ids[i]]],
  (i) => page.select(data.ids[i]));
  page.onSelect(stage, (id) => points.classed("chosen", (i) => data.ids[i] === id));
  const line = page.timeline("search", data.steps);
  page.legend(stage, [["distance", `${page.number(data.descending ? data.high : data.low, 3)} near`, `${page.number(data.descending ? data.low : data.high, 3)} far`],
    ["mark", "ring", "kept", "kept"], ["mark", "missed", "missed", "true neighbour, missed"], ["mark", "query", "query", "the query"]]);
  page.player(stage, line);
  line.on(stage, (step) => {
    const visited = step - 1, done = step > data.cells.length + 1;
    const here = (i) => data.cell[i] < visited;
    const last = step > data.cells.length + 2, bright = last && data.reranked ? final : kept;
    page.restyle(points, (i) => {
      const id = data.ids[i], isBright = done && bright.has(id);
      return [here(i) ? "visible" : "hidden", done && kind(id) === "dot" && !(last && final.has(id)) ? 0.6 : 1,
        missed.has(id) ? "var(--missed)" : isBright ? "var(--kept)" : order.length > 800 ? "none" : "var(--panel)", missed.has(id) ? 2.5 : isBright ? 2.6 : 0.7];
    });
    if (worst) worst.attr("visibility", done ? "visible" : "hidden");
    sectors.attr("opacity", (_, i) => (i < visited ? 1 : 0.25));
    names.style("font-weight", (_, i) => (i === visited - 1 && !done ? 700 : 400));
  });
});
