// Fine search projected: the probed cells' vectors and the query on their plane of largest variance.
"use strict";
lookalike.view("projection", (stage, data, page) => {
  const width = page.width(stage), height = Math.min(620, Math.round(width * 0.62)), pad = 26;
  const x = d3.scaleLinear(), y = d3.scaleLinear();
  const [x0, x1] = d3.extent([...data.x, data.query[0]]), [y0, y1] = d3.extent([...data.y, data.query[1]]);
  const unit = Math.min((width - 2 * pad) / (x1 - x0 || 1), (height - 2 * pad) / (y1 - y0 || 1)); // one unit is as long both ways
  x.domain([x0, x1]).range([width / 2 - unit * (x1 - x0) / 2, width / 2 + unit * (x1 - x0) / 2]);
  y.domain([y0, y1]).range([height / 2 + unit * (y1 - y0) / 2, height / 2 - unit * (y1 - y0) / 2]);
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
  const scale = data.descending ? page.scales.distance(data.high, data.low) : page.scales.distance(data.low, data.high);
  const kept = new Set(data.kept), missed = new Set(data.missed), final = new Set(data.final);
  const sign = (i) => (data.descending ? -1 : 1) * data.distance[i];
  const order = d3.range(data.ids.length).sort((a, b) => sign(a) - sign(b));
  const kind = (id) => (missed.has(id) ? "missed" : kept.has(id) ? "kept" : "dot");
  const rays = svg.append("g").selectAll("line").data(order.filter((i) => kept.has(data.ids[i]))).join("line")
    .attr("x1", x(data.query[0])).attr("y1", y(data.query[1])).attr("x2", (i) => x(data.x[i])).attr("y2", (i) => y(data.y[i])).attr("stroke", "var(--kept)").attr("stroke-width", 1).attr("opacity", 0.6);
  const points = svg.append("g").selectAll("path").data([...order].reverse()).join("path").attr("class", "vector")
    .attr("data-id", (i) => data.ids[i]).attr("data-distance", (i) => data.distance[i]).attr("data-kind", (i) => kind(data.ids[i]))
    .attr("transform", (i) => `translate(${x(data.x[i]).toFixed(1)},${y(data.y[i]).toFixed(1)})`);
  points.each(function (i) {
    const what = kind(data.ids[i]), path = d3.select(this).attr("d", page.symbol(what, what === "dot" ? (order.length > 800 ? 3 : 4.2) : 6));
    if (what === "missed") page.draw(path, "missed", "missed"); else path.attr("fill", scale(data.distance[i])).attr("stroke", "var(--panel)").attr("stroke-width", 0.7);
  });
  svg.append("path").attr("transform", `translate(${x(data.query[0])},${y(data.query[1])})`).attr("d", page.symbol("query", 9)).attr("fill", "var(--query)").attr("stroke", "var(--panel)").attr("stroke-width", 1.8).attr("pointer-events", "none");
  page.interactive(points, (i) => [[page.picture(data.ids[i]).name, `distance by its code ${page.number(data.distance[i], 6)}`,
    data.cell[i] < 0 ? "in a cell that was not visited" : `in cell ${data.cells[data.cell[i]]}`], [data.ids[i]]], (i) => page.select(data.ids[i]));
  const line = page.timeline("search", data.steps);
  page.legend(stage, [["distance", "near", "far"], ["mark", "ring", "kept", "kept"], ["mark", "missed", "missed", "true neighbour, missed"], ["mark", "query", "query", "the query"]]);
  page.player(stage, line);
  line.on(stage, (step) => {
    const visited = step - 1, done = step > data.cells.length + 1, last = done && step > data.cells.length + 2 && data.reranked ? final : kept;
    page.restyle(points, (i) => {
      const id = data.ids[i], isBright = done && last.has(id);
      return [(data.cell[i] < 0 ? done : data.cell[i] < visited) ? "visible" : "hidden", done && kind(id) === "dot" && !last.has(id) ? 0.6 : 1,
        missed.has(id) ? "var(--missed)" : isBright ? "var(--kept)" : order.length > 800 ? "none" : "var(--panel)", missed.has(id) ? 2.5 : isBright ? 2.6 : 0.7];
    });
    rays.attr("visibility", done ? "visible" : "hidden");
  });
});
