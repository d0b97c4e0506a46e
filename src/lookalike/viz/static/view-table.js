// The look-up table of the query, m rows of ksub values, with the path of a code through it; below, its sum becoming the distance.
"use strict";
lookalike.view("table", (stage, data, page) => {
  const detail = page.document("detail"), trace = page.document("trace"), table = trace.lookup_table, width = page.width(stage);
  const state = (data.state ??= { order: "value" });
  const controls = page.bar(stage);
  page.choices(controls, "Columns", [["value", "each row sorted"], ["number", "by centroid number"]], state.order, (v) => { state.order = v; draw(); });
  picker(stage, controls, detail, page);
  const m = table.length, ksub = table[0].length, sign = trace.metric === "l2" ? 1 : -1;
  const left = 34, w = width - left - 8, h = Math.max(5, Math.min(22, 420 / m)), high = m * h;
  const flat = table.flat().map((v) => sign * v).sort(d3.ascending), low = d3.quantile(flat, 0.005), top = d3.quantile(flat, 0.995), scale = page.scales.distance(low, top);
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${high + 26}`).attr("width", width).attr("height", high + 26);
  const sums = stage.appendChild(document.createElement("div"));
  let at = -1;
  const orders = table.map((row) => d3.range(ksub).sort((a, b) => sign * (row[a] - row[b]) || a - b));
  const ranks = orders.map((order) => { const rank = new Array(ksub); order.forEach((c, i) => { rank[c] = i; }); return rank; });
  const column = (j, c) => (state.order === "value" ? ranks[j][c] : c);
  function draw() {
    svg.selectAll("*").remove();
    const canvas = document.createElement("canvas");
    canvas.width = ksub; canvas.height = m;
    const context = canvas.getContext("2d");
    table.forEach((row, j) => row.forEach((v, c) => { context.fillStyle = scale(sign * v); context.fillRect(column(j, c), j, 1, 1); }));
    svg.append("image").attr("x", left).attr("width", w).attr("height", high).attr("preserveAspectRatio", "none").style("image-rendering", "pixelated").attr("href", canvas.toDataURL());
    svg.selectAll(".row").data(d3.range(m).filter((j) => h > 10 || j % 8 === 0)).join("text").attr("class", "soft").attr("x", left - 6).attr("text-anchor", "end").attr("y", (j) => (j + 0.5) * h + 4).style("font-size", "10.5px").text((j) => j);
    svg.append("text").attr("class", "soft").attr("x", left).attr("y", high + 18).text(state.order === "value" ? "nearest to the query →" : `centroid 0 to ${ksub - 1} →`);
    svg.append("rect").attr("x", left).attr("width", w).attr("height", high).attr("fill", "transparent").on("pointermove", (event) => {
      const [x, y] = d3.pointer(event), j = Math.min(m - 1, Math.floor(y / h)), c0 = Math.max(0, Math.min(ksub - 1, Math.floor((x - left) / w * ksub))), c = state.order === "value" ? orders[j][c0] : c0;
      page.tip.show(event, [`Piece ${j}, centroid ${c}`, `table value ${page.number(table[j][c], 6)}`, `${ranks[j][c] + 1} of ${ksub} from the query`], []);
    }).on("pointerleave", () => page.tip.hide());
    if (at < 0) return;
    const codes = detail.codes[at], x = (j) => left + (column(j, codes[j]) + 0.5) / ksub * w, y = (j) => (j + 0.5) * h;
    const way = d3.line().x(x).y(y)(d3.range(m));
    svg.append("path").attr("d", way).attr("fill", "none").attr("stroke", "var(--panel)").attr("stroke-width", m > 24 ? 2 : 4.5).attr("opacity", 0.7).attr("stroke-linejoin", "round").attr("pointer-events", "none");
    svg.append("path").attr("class", "path").attr("d", way).attr("fill", "none").attr("stroke", "var(--kept)").attr("stroke-width", m > 24 ? 1.1 : 2).attr("stroke-linejoin", "round").attr("pointer-events", "none");
    const dots = svg.append("g").selectAll("circle").data(d3.range(m)).join("circle").attr("class", "step").attr("data-piece", (j) => j).attr("data-code", (j) => codes[j]).attr("data-value", (j) => table[j][codes[j]])
      .attr("cx", x).attr("cy", y).attr("r", Math.max(3, Math.min(5.5, h / 2.4))).attr("fill", "var(--kept)").attr("stroke", "var(--panel)").attr("stroke-width", 1.2);
    page.interactive(dots, (j) => [[`Piece ${j}: code ${codes[j]}`, `table value ${page.number(table[j][codes[j]], 6)}`, `${ranks[j][codes[j]] + 1} of ${ksub} from the query`], []], (j) => page.showPiece?.(j));
    sum();
  }
  function sum() {
    sums.replaceChildren();
    const codes = detail.codes[at], parts = codes.map((c, j) => table[j][c]);
    const start = trace.metric === "cosine" ? [["1", 1], ["− ⟨q, c⟩", -detail.list_terms[at]]] : trace.metric === "ip" ? [["⟨q, c⟩", detail.list_terms[at]]] : [["‖q − c‖²", detail.list_terms[at]], ["bias", detail.biases[at]]];
    const each = trace.metric === "cosine" ? -1 : 1;
    const terms = [...start, ...parts.map((v, j) => [`piece ${j}`, each * v])];
    let run = 0;
    const steps = terms.map(([name, value], i) => { const from = run; run += value; return { name, value, from, to: run, piece: i - start.length }; });
    const total = run, exact = detail.exact[at], estimated = detail.estimated[at], height = 250, box = { left: 56, right: 132, top: 16, bottom: 40 };
    const figure = d3.select(sums).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    const x = d3.scaleBand(d3.range(steps.length), [box.left, width - box.right]).padding(steps.length > 60 ? 0.1 : 0.2);
    const y = d3.scaleLinear(d3.extent([...steps.flatMap((s) => [s.from, s.to]), total, exact]), [height - box.bottom, box.top]).nice();
    figure.append("g").attr("class", "axis").attr("transform", `translate(${box.left - 4},0)`).call(d3.axisLeft(y).ticks(5));
    const bars = figure.append("g").selectAll("rect").data(steps).join("rect").attr("class", "term").attr("data-value", (s) => s.value).attr("data-piece", (s) => s.piece)
      .attr("x", (_, i) => x(i)).attr("width", x.bandwidth()).attr("y", (s) => Math.min(y(s.from), y(s.to))).attr("height", (s) => Math.max(1, Math.abs(y(s.from) - y(s.to))))
      .attr("fill", (s) => (s.piece < 0 ? "var(--soft)" : scale(sign * table[s.piece][codes[s.piece]]))).attr("stroke", "var(--panel)").attr("stroke-width", 0.4);
    page.interactive(bars, (s) => [[s.name, `adds ${page.number(s.value, 6)}`, `makes ${page.number(s.to, 6)}`], []], (s) => s.piece >= 0 && page.showPiece?.(s.piece));
    const names = start.map((s) => s[0]);
    figure.append("text").attr("x", box.left).attr("y", height - 22).text(`grey: ${names.join(", ")}`).attr("class", "soft");
    figure.append("text").attr("x", box.left).attr("y", height - 6).text(`coloured: the ${m} table values on the code's path, ${each < 0 ? "taken off" : "added"} one by one`).attr("class", "soft");
    const lines = [["estimated", total, "kept"], ["true", exact, "query"]], apart = Math.abs(y(total) - y(exact)) < 30 ? 15 - Math.abs(y(total) - y(exact)) / 2 : 0, above = y(total) < y(exact) ? -1 : 1;
    lines.forEach(([name, value, colour], i) => {
      figure.append("line").attr("x1", box.left).attr("x2", width - box.right + 4).attr("y1", y(value)).attr("y2", y(value)).attr("stroke", `var(--${colour})`).attr("stroke-dasharray", i ? "3 4" : "none").attr("stroke-width", 1.6);
      const text = figure.append("text").attr("x", width - box.right + 9).attr("y", Math.max(12, Math.min(height - 20, y(value) + (i ? -above : above) * apart))).style("font-weight", 600);
      text.append("tspan").text(name);
      text.append("tspan").attr("x", width - box.right + 9).attr("dy", 14).attr("class", `sum-${name}`).attr("data-value", i ? exact : total).text(page.number(value, 6));
    });
    sums.dataset.estimated = estimated;
    sums.className = "sum";
    sums.dataset.total = total;
  }
  page.onSelect(stage, (id) => { at = detail.ids.indexOf(id); draw(); });
  if (at < 0) draw();
  page.legend(stage, [["distance", "table value: near the query", "far"], ["mark", "dot", "kept", "the code's path"]]);
});
