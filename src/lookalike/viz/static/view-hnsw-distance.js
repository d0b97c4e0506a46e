// The least distance of a search in a graph, step by step.
lookalike.view("hnsw-distance", (stage, data, page) => {
  const line = page.timeline("hnsw", data.steps.map(() => ""));
  const width = page.width(stage), height = 280, margin = { top: 44, right: 14, bottom: 40, left: 56 };
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height)
    .attr("role", "img").attr("aria-label", "Least distance found until each step");
  const x = d3.scaleLinear([1, Math.max(2, data.steps.length)], [margin.left, width - margin.right]);
  const values = data.steps.flatMap((step) => [step.distance, step.nearest, step.worst]).filter((value) => value !== null);
  const [low, high] = d3.extent([...values, data.entry]);
  const y = d3.scaleLinear([low, high > low ? high : low + 1], [height - margin.bottom, margin.top]).nice();
  const bands = d3.groups(data.steps.map((step, i) => ({ ...step, i: i + 1 })), (step) => step.level);
  bands.forEach(([level, steps], number) => {
    const left = x(steps[0].i - 0.5), right = x(steps[steps.length - 1].i + 0.5);
    svg.append("rect").attr("x", Math.max(margin.left, left)).attr("width", Math.max(1, Math.min(width - margin.right, right) - Math.max(margin.left, left)))
      .attr("y", margin.top).attr("height", height - margin.top - margin.bottom).attr("fill", "var(--wash)").attr("fill-opacity", number % 2 ? 0.35 : 1);
    if (right - left > 14) {
      svg.append("text").attr("class", "soft").attr("x", Math.max(margin.left, left) + 3).attr("y", margin.top - 8).text(right - left > 52 ? `level ${level}` : level);
    }
  });
  const bottom = svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - margin.bottom})`)
    .call(d3.axisBottom(x).ticks(Math.min(10, data.steps.length)).tickFormat((value) => (Number.isInteger(value) ? value : "")));
  bottom.append("text").attr("x", width - margin.right).attr("y", 34).attr("text-anchor", "end").text("step");
  svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`).call(d3.axisLeft(y).ticks(6))
    .append("text").attr("x", -margin.left + 2).attr("y", 12).attr("text-anchor", "start").text(data.measure);
  const of = (name) => d3.line().defined((step) => step[name] !== null).x((step, i) => x(i + 1)).y((step) => y(step[name])).curve(d3.curveStepAfter)(data.steps);
  svg.append("path").attr("d", of("worst")).attr("fill", "none").attr("stroke", "var(--faint)").attr("stroke-width", 1.5);
  svg.append("path").attr("d", of("nearest")).attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", 2.2);
  const dots = svg.append("g").selectAll("circle").data(data.steps).join("circle").attr("cx", (step, i) => x(i + 1)).attr("cy", (step) => y(step.distance))
    .attr("r", 3).attr("fill", "var(--focus)").attr("stroke", "var(--panel)").attr("stroke-width", 0.7);
  page.interactive(dots, (step) => [[`level ${step.level}`, `its ${data.measure} ${page.number(step.distance)}`, `least until then ${page.number(step.nearest)}`,
    `${step.met} compared in this step`], []], (step) => line.go(data.steps.indexOf(step)));
  const cursor = svg.append("line").attr("y1", margin.top).attr("y2", height - margin.bottom).attr("stroke", "var(--ink)").attr("stroke-dasharray", "3 3").attr("class", "cursor");
  line.on(stage, (now) => {
    const at = Math.min(now, data.steps.length - 1);
    cursor.attr("x1", x(at + 1)).attr("x2", x(at + 1)).attr("data-nearest", data.steps[at].nearest);
  });
  page.legend(stage, [["mark", "kept", "kept", "least until then"], ["mark", "dot", "focus", "whose links are followed"], ["mark", "dot", "faint", "worst that is kept"]]);
});
