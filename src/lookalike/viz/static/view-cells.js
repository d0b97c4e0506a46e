// Cells of an inverted file as a power diagram: areas by size or spread, a search lit on it cell by cell.
"use strict";
lookalike.view("cells", (stage, data, page) => {
  const state = (data.state ??= { area: "size", colour: data.search ? "distance" : "size" });
  const controls = page.bar(stage);
  const n = data.list_no.length;
  page.choices(controls, "Area", [["size", "vectors"], ["spread", "spread"], ["even", "even"]], state.area, (v) => { state.area = v; draw(); });
  const colours = [["size", "vectors"], ["spread", "spread"]];
  if (data.search) colours.unshift(["distance", "distance to the query"]);
  page.choices(controls, "Colour", colours, state.colour, (v) => { state.colour = v; draw(); });

  const width = page.width(stage), height = Math.round(width / data.width), k = height;
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height)
    .attr("role", "img").attr("aria-label", `${n} cells`);
  const foot = stage.appendChild(document.createElement("div"));
  const line = data.search ? page.timeline("search", data.search.steps) : null;
  const rank = new Map(data.search ? data.search.order.map((no, i) => [no, i]) : []);
  if (line) page.player(stage, line);

  function draw() {
    svg.selectAll("*").remove();
    foot.replaceChildren();
    const map = data.maps[state.area];
    const polygons = powerDiagram(map.x, map.y, map.power, data.width, 1);
    const values = state.colour === "distance" ? data.search.coarse : state.colour === "size" ? data.sizes : data.spread;
    const [low, high] = state.colour === "size" ? [0, d3.max(values)] : d3.extent(values);
    const near = state.colour === "distance" && data.search.descending;
    const scale = near ? page.scales.distance(high, low) : page.scales[state.colour](low, high);
    const cells = d3.range(n).filter((i) => polygons[i].length > 2);
    if (!data.search) cells.sort((a, b) => data.sizes[b] - data.sizes[a]); else cells.sort((a, b) => data.search.coarse[a] - data.search.coarse[b]);
    if (near) cells.reverse();
    const marks = svg.append("g").selectAll("path").data(cells).join("path")
      .attr("class", "cell").attr("data-list", (i) => data.list_no[i]).attr("data-size", (i) => data.sizes[i])
      .attr("data-spread", (i) => data.spread[i])
      .attr("data-distance", data.search ? (i) => data.search.coarse[i] : null)
      .attr("d", (i) => `M${polygons[i].map(([x, y]) => `${(x * k).toFixed(1)},${(y * k).toFixed(1)}`).join("L")}Z`)
      .attr("fill", (i) => (data.sizes[i] ? scale(values[i]) : "var(--wash)"))
      .attr("stroke", "var(--panel)").attr("stroke-width", n > 400 ? 0.8 : 1.5).attr("stroke-linejoin", "round");
    if (n <= 60) {
      const text = svg.append("g").attr("pointer-events", "none").selectAll("text").data(cells).join("text")
        .attr("x", (i) => middle(polygons[i])[0] * k).attr("y", (i) => middle(polygons[i])[1] * k + 4).attr("text-anchor", "middle")
        .style("font-size", "12px").style("fill", (i) => (data.sizes[i] ? ink(scale(values[i])) : "var(--soft)"));
      text.text((i) => data.sizes[i].toLocaleString("en"));
    }
    const empty = cells.filter((i) => !data.sizes[i]), full = cells.filter((i) => data.sizes[i] > data.overfull);
    const signs = svg.append("g").attr("pointer-events", "none");
    signs.selectAll(".empty").data(empty).join("circle").attr("class", "empty")
      .attr("cx", (i) => middle(polygons[i])[0] * k).attr("cy", (i) => middle(polygons[i])[1] * k).attr("r", n > 400 ? 2.5 : 5)
      .attr("fill", "none").attr("stroke", "var(--missed)").attr("stroke-width", 1.5);
    if (!data.search) signs.selectAll(".full").data(full).join("path").attr("class", "full")
      .attr("d", (i) => `M${polygons[i].map(([x, y]) => `${x * k},${y * k}`).join("L")}Z`)
      .attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", n > 400 ? 1.2 : 2.5);
    page.interactive(marks, (i) => [[
      `Cell ${data.list_no[i]}`, `${page.number(data.sizes[i])} vectors${data.sizes[i] ? `, spread ${page.number(data.spread[i])}` : ""}`,
      data.search ? `distance to its centroid ${page.number(data.search.coarse[i])}` : "",
      rank.has(data.list_no[i]) ? `visited as number ${rank.get(data.list_no[i]) + 1}` : data.search ? "not visited" : "",
      data.nearest[i].length ? "nearest to its centroid:" : "",
      ...(data.nearest[i].some((id) => page.picture(id).src) ? [] : data.nearest[i].slice(0, 3).map((id) => page.picture(id).name)),
    ], data.nearest[i]]);
    if (data.search) searched(polygons, marks, scale, values);
    const items = state.colour === "distance" ? [["distance", `${near ? page.number(high) : page.number(low)} near`, `${near ? page.number(low) : page.number(high)} far`]]
      : state.colour === "size" ? [["size", "0 vectors", `${page.number(high)}`]] : [["spread", `spread ${page.number(low)}`, page.number(high)]];
    if (empty.length) items.push(["mark", "ring", "missed", "empty"]);
    if (full.length && !data.search) items.push(["mark", "ring", "kept", "overfull: more than twice the mean"]);
    if (data.search) items.push(["mark", "query", "query", "the query"]);
    page.legend(foot, items);
  }

  function searched(polygons, marks, scale, values) {
    const at = new Map(data.list_no.map((no, i) => [no, i]));
    const places = data.search.order.filter((no) => at.has(no)).map((no) => middle(polygons[at.get(no)]));
    if (!places.length) return;
    const [a, b] = [places[0], places[1] || places[0]];
    const q = [(a[0] * 0.78 + b[0] * 0.22) * k, (a[1] * 0.78 + b[1] * 0.22) * k];
    const over = svg.append("g").attr("pointer-events", "none");
    const rims = over.selectAll(".rim").data(data.search.order.filter((no) => at.has(no))).join("path").attr("class", "rim")
      .attr("d", (no) => `M${polygons[at.get(no)].map(([x, y]) => `${x * k},${y * k}`).join("L")}Z`)
      .attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", n > 400 ? 1.6 : 3).attr("stroke-linejoin", "round");
    const paths = over.selectAll(".way").data(places).join("line").attr("class", "way").attr("x1", q[0]).attr("y1", q[1])
      .attr("x2", (p) => p[0] * k).attr("y2", (p) => p[1] * k).attr("stroke", "var(--kept)").attr("stroke-width", 1.4).attr("stroke-dasharray", "2 4");
    const numbers = over.selectAll(".visit").data(places.slice(0, 40)).join("g").attr("class", "visit").attr("transform", (p) => `translate(${p[0] * k},${p[1] * k - (n <= 60 ? 15 : 0)})`);
    numbers.append("circle").attr("r", n > 200 ? 7 : 9.5).attr("fill", "var(--kept)").attr("stroke", "var(--panel)").attr("stroke-width", 1.5);
    numbers.append("text").attr("text-anchor", "middle").attr("y", n > 200 ? 3 : 3.8).style("font-size", n > 200 ? "8.5px" : "11px").style("font-weight", 700)
      .style("fill", page.isDark() ? "#111" : "#fff").text((_, i) => i + 1);
    const star = over.append("path").attr("transform", `translate(${q})`).attr("d", page.symbol("query", 9)).attr("fill", "var(--query)").attr("stroke", "var(--panel)").attr("stroke-width", 1.8);
    line.drop(svg.node());
    line.on(svg.node(), (step) => {
      const visited = Math.max(0, Math.min(data.search.order.length, step - 1));
      if (state.colour === "distance") marks.attr("fill", (i) => (step === 0 ? "var(--wash)" : data.sizes[i] ? scale(values[i]) : "var(--wash)"));
      marks.attr("data-lit", (i) => (rank.has(data.list_no[i]) && rank.get(data.list_no[i]) < visited ? rank.get(data.list_no[i]) + 1 : null));
      rims.attr("visibility", (no) => (rank.get(no) < visited ? "visible" : "hidden"));
      paths.attr("visibility", (_, i) => (i < visited ? "visible" : "hidden"));
      numbers.attr("visibility", (_, i) => (i < visited ? "visible" : "hidden"));
      star.raise();
    });
  }

  const middle = (polygon) => d3.polygonCentroid(polygon);
  const ink = (fill) => (d3.lab(fill).l > 62 ? "#15181c" : "#ffffff");
  draw();

  // The part of the box where ‖p − site‖² − power is smallest for each site. A neighbour whose border lies further out than the
  // farthest corner so far cannot cut, which leaves few cuts for each cell.
  function powerDiagram(x, y, power, w, h) {
    return x.map((_, i) => {
      let polygon = [[0, 0], [w, 0], [w, h], [0, h]];
      const others = d3.range(x.length).filter((j) => j !== i).map((j) => {
        const dx = x[j] - x[i], dy = y[j] - y[i], d = Math.hypot(dx, dy) || 1e-9;
        return [(d * d + power[i] - power[j]) / (2 * d), dx / d, dy / d];
      }).sort((a, b) => a[0] - b[0]);
      for (const [t, ux, uy] of others) {
        const side = ([px, py]) => (px - x[i]) * ux + (py - y[i]) * uy - t;
        if (!polygon.some((p) => side(p) > 0)) {
          if (t > d3.max(polygon, ([px, py]) => Math.hypot(px - x[i], py - y[i]))) break;
          continue;
        }
        const next = [];
        for (let c = 0; c < polygon.length; c++) {
          const p = polygon[c], q = polygon[(c + 1) % polygon.length], a = side(p), b = side(q);
          if (a <= 0) next.push(p);
          if ((a < 0 && b > 0) || (a > 0 && b < 0)) next.push([p[0] + (q[0] - p[0]) * a / (a - b), p[1] + (q[1] - p[1]) * a / (a - b)]);
        }
        polygon = next;
        if (polygon.length < 3) return [];
      }
      return polygon;
    });
  }
});
