// A search in a graph: levels as discs, the query in the middle of each, the way of the search, step by step.
lookalike.view("hnsw", (stage, data, page) => {
  const line = page.timeline("hnsw", data.steps.map((step) => step.label), { interval: 700 });
  const width = page.width(stage), narrow = width < 560;
  const wide = Math.min(width * 0.485, 450);
  const discs = data.levels.map((level) => ({ ...level, rx: level.level ? wide * 0.62 : wide, tilt: level.level ? 0.3 : 0.5 }));
  let y = 14;
  for (const disc of discs) { disc.ry = disc.rx * disc.tilt; disc.cy = y + disc.ry; y = disc.cy + disc.ry * (disc.level ? 0.52 : 1) + 14; }
  const height = y + 6, cx = width / 2;
  const all = discs.flatMap((disc) => disc.distances), sign = data.larger_is_nearer ? -1 : 1;
  const [low, high] = d3.extent(all, (d) => sign * d);
  const near = page.scales.distance(low, high), colour = (d) => near(sign * d);
  const points = discs.map((disc, number) => disc.ids.map((id, i) => ({
    id, number, i, level: disc.level, distance: disc.distances[i], met: disc.steps[i],
    x: cx + disc.x[i] * disc.rx, y: disc.cy + disc.y[i] * disc.ry,
  })));
  const point = (at) => points[at[0]][at[1]];
  const found = new Set(discs.flatMap((disc, number) => disc.found.map((i) => points[number][i])));
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height)
    .attr("role", "group").attr("aria-label", "Levels of the graph, and the way of the search through them");

  // from below, so that the levels above stand in front
  for (const disc of [...discs].reverse()) {
    const plane = svg.append("g").attr("class", "plane").attr("data-level", disc.level);
    plane.append("ellipse").attr("cx", cx).attr("cy", disc.cy).attr("rx", disc.rx).attr("ry", disc.ry)
      .attr("fill", "var(--wash)").attr("fill-opacity", disc.level ? 0.78 : 0.9).attr("stroke", "var(--line)");
    for (const t of [0.25, 0.5, 0.75]) {
      plane.append("ellipse").attr("cx", cx).attr("cy", disc.cy).attr("rx", disc.rx * t).attr("ry", disc.ry * t)
        .attr("fill", "none").attr("stroke", "var(--line)").attr("stroke-dasharray", "2 4");
    }
    disc.lines = plane.append("g");
    disc.marks = plane.append("g");
    disc.front = plane.append("g").attr("pointer-events", "none"); // the way lies over the points, and must not hide them from the pointer
    page.draw(plane.append("path").attr("d", page.symbol("query", narrow ? 4.5 : 6)).attr("transform", `translate(${cx},${disc.cy})`), "query", "query");
  }
  const over = svg.append("g").attr("pointer-events", "none");
  for (const disc of discs) {
    const text = over.append("text").attr("x", 0).attr("y", disc.cy - disc.ry + 12).attr("class", "level");
    text.append("tspan").attr("font-weight", 650).attr("font-size", 13).text(`Level ${disc.level}`);
    const said = [`${page.number(disc.total)} on it`, `${page.number(disc.visited)} compared`];
    said.forEach((words) => text.append("tspan").attr("class", "soft").attr("fill", "var(--soft)").attr("x", 0).attr("dy", 16).text(words));
  }

  // the way: from where each step came
  const way = [];
  data.steps.forEach((step, number) => {
    if (!step.at) return;
    const to = point(step.at);
    if (step.came === "down") {
      const above = data.steps[number - 1].at;
      if (above) way.push({ from: point(above), to, number, drop: true });
    } else if (step.came && step.came !== "entry") way.push({ from: point(step.came), to, number, drop: false });
  });
  const ways = new Map();
  for (const disc of discs) {
    ways.set(disc, disc.front.selectAll("path.way").data(way.filter((part) => !part.drop && part.to.level === disc.level)).join("path")
      .attr("class", "way").attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-linecap", "round")
      .attr("d", (part) => `M${part.from.x},${part.from.y}L${part.to.x},${part.to.y}`));
  }
  const drops = over.selectAll("path.drop").data(way.filter((part) => part.drop)).join("path").attr("class", "drop")
    .attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", 2).attr("stroke-dasharray", "1 5").attr("stroke-linecap", "round")
    .attr("d", (part) => `M${part.from.x},${part.from.y}L${part.to.x},${part.to.y}`);

  const radius = (d) => (d.met < 0 ? (narrow ? 1.4 : 1.8) : d.level ? (narrow ? 3.4 : 4.6) : (narrow ? 2.5 : 3.6));
  const marks = [];
  discs.forEach((disc, number) => {
    const order = [...points[number]].sort((a, b) => (a.met < 0) - (b.met < 0) ? (b.met < 0) - (a.met < 0) : sign * (b.distance - a.distance));
    const circles = disc.marks.selectAll("circle").data(order).join("circle")
      .attr("cx", (d) => d.x).attr("cy", (d) => d.y).attr("r", radius)
      .attr("data-id", (d) => d.id).attr("data-distance", (d) => d.distance).attr("data-level", disc.level);
    page.interactive(circles, (d) => [[
      page.picture(d.id).name, `${data.measure} ${page.number(d.distance)}`,
      d.met < 0 ? "not met by this search" : `first met in step ${d.met + 1}`, found.has(d) ? "among the results" : null,
    ], [d.id]], (d) => { if (d.met >= 0) { line.go(d.met); } page.select(d.id); });
    marks.push(circles);
  });
  const ring = svg.append("circle").attr("fill", "none").attr("stroke", "var(--focus)").attr("stroke-width", 2.5).attr("r", 9).attr("class", "now").attr("pointer-events", "none");

  page.legend(stage, [["distance", "near", "far"], ["mark", "query", "query", "the query"], ["mark", "kept", "kept", "a result"],
    ["mark", "ring", "focus", "whose links are followed"]]);
  page.player(stage, line);

  line.on(stage, (now) => {
    const step = data.steps[now], done = now === data.steps.length - 1;
    discs.forEach((disc, number) => {
      const lit = step.at && step.at[0] === number ? step.links.map((at) => ({ from: point(step.at), to: point(at) })) : [];
      disc.lines.selectAll("line").data(lit).join("line").attr("stroke", "var(--focus)").attr("stroke-opacity", 0.55).attr("stroke-width", 1.2)
        .attr("x1", (d) => d.from.x).attr("y1", (d) => d.from.y).attr("x2", (d) => d.to.x).attr("y2", (d) => d.to.y);
      ways.get(disc).style("display", (part) => (part.number <= now ? null : "none"))
        .attr("stroke-width", disc.level ? 2.4 : 1.2).attr("stroke-opacity", disc.level ? 0.9 : done ? 0.28 : 0.5);
      marks[number].attr("class", (d) => (d.met >= 0 && d.met <= now ? (done && found.has(d) ? "met found" : "met") : "unmet"))
        .attr("fill", (d) => (d.met < 0 || d.met > now ? "var(--faint)" : done && found.has(d) ? "var(--kept)" : colour(d.distance)))
        .attr("fill-opacity", (d) => (d.met < 0 ? 0.4 : d.met > now ? 0.25 : 1))
        .attr("stroke", (d) => (d.met >= 0 && d.met <= now ? "var(--panel)" : "none")).attr("stroke-width", 0.8)
        .attr("r", (d) => radius(d) * (done && found.has(d) ? 1.6 : 1));
    });
    drops.style("display", (part) => (part.number <= now ? null : "none"));
    ring.style("display", step.at ? null : "none");
    if (step.at) ring.attr("cx", point(step.at).x).attr("cy", point(step.at).y);
  });
  page.onSelect(stage, (id) => marks.forEach((circles) => circles.classed("chosen", (d) => d.id === id)));
});
