// How many vectors each list holds, largest first.
"use strict";
lookalike.view("balance", (stage, data, page) => {
  const width = page.width(stage), height = 240, box = { left: 56, right: 12, top: 14, bottom: 34 };
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
  const x = d3.scaleLinear([0, data.sizes.length], [box.left, width - box.right]);
  const y = d3.scaleLinear([0, d3.max(data.sizes) || 1], [height - box.bottom, box.top]).nice();
  svg.append("g").attr("class", "axis").attr("transform", `translate(${box.left},0)`).call(d3.axisLeft(y).ticks(5));
  svg.append("text").attr("class", "soft").attr("x", box.left).attr("y", height - 10).text("lists, the largest first");
  const bar = x(1) - x(0), scale = page.scales.size(0, d3.max(data.sizes) || 1);
  const bars = svg.append("g").selectAll("rect").data(data.sizes).join("rect").attr("class", "list")
    .attr("data-list", (_, i) => data.list_no[i]).attr("data-size", (d) => d)
    .attr("x", (_, i) => x(i) + (bar > 4 ? 1 : 0)).attr("width", Math.max(0.6, bar - (bar > 4 ? 2 : 0)))
    .attr("y", (d) => (d ? y(d) : y(0) - 3)).attr("height", (d) => (d ? y(0) - y(d) : 3))
    .attr("fill", (d) => (!d ? "var(--missed)" : d > data.overfull ? "var(--kept)" : scale(d)));
  page.interactive(bars, (d) => [[`${page.number(d)} vectors`], []]);
  bars.on("pointerenter pointermove focus", (event, d) => page.tip.show(event, [`List ${event.currentTarget.dataset.list}`, `${page.number(d)} vectors`], []));
  svg.append("line").attr("x1", box.left).attr("x2", width - box.right).attr("y1", y(data.mean)).attr("y2", y(data.mean)).attr("stroke", "var(--ink)").attr("stroke-dasharray", "4 4");
  svg.append("text").attr("x", width - box.right).attr("y", y(data.mean) - 5).attr("text-anchor", "end").text(`mean ${page.number(data.mean)}`);
  page.legend(stage, [["size", "0 vectors", page.number(d3.max(data.sizes) || 0)], ["mark", "dot", "kept", `overfull: ${data.facts.overfull}`], ["mark", "dot", "missed", `empty: ${data.facts.empty}`]]);
});
