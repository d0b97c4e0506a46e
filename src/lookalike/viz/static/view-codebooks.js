// Each sub-space's codebook on its plane of largest variance, with the centroid that stands for the chosen vector's piece.
"use strict";
lookalike.view("codebooks", (stage, data, page) => {
  const detail = page.document("detail"), width = page.width(stage);
  const controls = page.bar(stage);
  picker(stage, controls, detail, page);
  const wide = width > 760, big = wide ? Math.min(440, width * 0.44) : Math.min(width, 400), room = wide ? width - big - 24 : width;
  const state = (data.state ??= { piece: 0 });
  const frame = stage.appendChild(document.createElement("div"));
  frame.style.cssText = "display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start";
  const many = Math.min(data.m, 128), goal = Math.max(2, Math.sqrt(many * room / big)), columns = d3.least(d3.range(1, many + 1), (c) => Math.abs(Math.log(c / goal)) + 0.4 * ((Math.ceil(many / c) * c - many) / c)), cell = room / columns;
  const small = d3.select(frame).append("svg").attr("width", room).attr("height", cell * Math.ceil(many / columns)).attr("viewBox", `0 0 ${room} ${cell * Math.ceil(many / columns)}`);
  const large = d3.select(frame).append("svg").attr("width", big).attr("height", big + 24).attr("viewBox", `0 0 ${big} ${big + 24}`);
  const planes = d3.range(data.m).map((j) => {
    const all = data.codebooks[j], most = 1.05 * (d3.max(all, ([x, y]) => Math.max(Math.abs(x), Math.abs(y))) || 1);
    return (side) => (v, flip) => side / 2 + (flip ? -1 : 1) * v / most * side / 2;
  });
  const canvas = document.createElement("canvas"), density = Math.min(2, devicePixelRatio || 1);
  canvas.width = room * density; canvas.height = cell * Math.ceil(many / columns) * density;
  const context = canvas.getContext("2d");
  context.scale(density, density);
  context.fillStyle = page.color("soft");
  for (let j = 0; j < many; j++) {
    const left = (j % columns) * cell, top = Math.floor(j / columns) * cell, side = cell - 6, at = planes[j](side);
    context.globalAlpha = 0.55;
    for (const [x, y] of data.codebooks[j]) { context.beginPath(); context.arc(left + 3 + at(x), top + 3 + at(y, true), Math.max(0.7, cell / 70), 0, 7); context.fill(); }
  }
  small.append("image").attr("href", canvas.toDataURL()).attr("width", room).attr("height", cell * Math.ceil(many / columns));
  const tiles = small.selectAll("rect").data(d3.range(many)).join("rect").attr("class", "tile").attr("data-piece", (j) => j)
    .attr("x", (j) => (j % columns) * cell + 1).attr("y", (j) => Math.floor(j / columns) * cell + 1).attr("width", cell - 2).attr("height", cell - 2).attr("rx", 4)
    .attr("fill", "transparent").attr("stroke", "var(--line)");
  const chosen = small.append("g").attr("pointer-events", "none");
  let at = -1;
  page.interactive(tiles, (j) => [[`Piece ${j}`, at >= 0 ? `code ${detail.codes[at][j]}` : "", `the plane shows ${page.number(100 * data.shares[j], 3)} % of the variance`], []], (j) => { state.piece = j; draw(); });
  page.showPiece = (j) => { if (stage.isConnected) { state.piece = j; draw(); } };
  function draw() {
    tiles.attr("stroke", (j) => (j === state.piece ? "var(--focus)" : "var(--line)")).attr("stroke-width", (j) => (j === state.piece ? 2.5 : 1));
    chosen.selectAll("*").remove();
    large.selectAll("*").remove();
    if (at < 0) return;
    chosen.selectAll("circle").data(d3.range(many)).join("circle").attr("r", Math.max(1.8, cell / 22)).attr("fill", "var(--kept)")
      .attr("cx", (j) => (j % columns) * cell + 3 + planes[j](cell - 6)(data.codebooks[j][detail.codes[at][j]][0]))
      .attr("cy", (j) => Math.floor(j / columns) * cell + 3 + planes[j](cell - 6)(data.codebooks[j][detail.codes[at][j]][1], true));
    const j = state.piece, code = detail.codes[at][j], place = planes[j](big), table = page.document("trace").lookup_table[j];
    const sign = page.document("trace").metric === "l2" ? 1 : -1, low = d3.min(table, (v) => sign * v), high = d3.max(table, (v) => sign * v), scale = page.scales.distance(low, high);
    large.append("rect").attr("width", big).attr("height", big).attr("rx", 10).attr("fill", "var(--wash)");
    const voronoi = d3.Delaunay.from(data.codebooks[j], (p) => place(p[0]), (p) => place(p[1], true)).voronoi([0, 0, big, big]);
    large.append("path").attr("d", voronoi.render()).attr("stroke", "var(--line)").attr("fill", "none").attr("stroke-width", 0.7);
    const dots = large.selectAll(".code").data(d3.range(data.codebooks[j].length)).join("circle").attr("class", "code").attr("data-code", (c) => c).attr("data-value", (c) => table[c])
      .attr("cx", (c) => place(data.codebooks[j][c][0])).attr("cy", (c) => place(data.codebooks[j][c][1], true)).attr("r", (c) => (c === code ? 8 : 4.5))
      .attr("fill", (c) => scale(sign * table[c])).attr("stroke", (c) => (c === code ? "var(--kept)" : "var(--panel)")).attr("stroke-width", (c) => (c === code ? 3.5 : 0.6));
    page.interactive(dots, (c) => [[`Centroid ${c} of piece ${j}`, `table value ${page.number(table[c], 5)}`, c === code ? "stands for this vector's piece" : ""], []]);
    dots.filter((c) => c === code).raise();
    const piece = data.pieces[at][j];
    large.append("path").attr("class", "own").attr("transform", `translate(${place(piece[0])},${place(piece[1], true)})`).attr("d", d3.symbol(d3.symbolDiamond, 90)()).attr("fill", "var(--query)").attr("stroke", "var(--panel)").attr("stroke-width", 1.5).attr("pointer-events", "none");
    large.append("text").attr("y", big + 18).text(`Piece ${j}: ◆ its own, ring: centroid ${code}; ${page.number(100 * data.shares[j], 2)} % of variance`).style("font-size", big < 420 ? "11px" : "12px");
    stage.closest(".view").dataset.piece = j;
    stage.closest(".view").dataset.code = code;
  }
  page.onSelect(stage, (id) => { at = detail.ids.indexOf(id); draw(); });
  page.legend(stage, [["distance", "table value: near the query", "far"]]);
});
