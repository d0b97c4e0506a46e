// Vectors, comparisons and links of each level, as bars over one logarithmic scale.
lookalike.view("hnsw-work", (stage, data, page) => {
  const width = page.width(stage), rows = data.levels, bar = 17, gap = 16, left = 66, top = 8;
  const each = 3 * bar + gap, height = top + rows.length * each;
  const svg = d3.select(stage).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height)
    .attr("role", "img").attr("aria-label", "Vectors, comparisons and links followed on each level");
  const most = d3.max(rows, (row) => Math.max(row.total, row.followed)) || 1;
  const x = d3.scaleLog([0.8, most], [left, width - 108]);
  const kinds = [["total", "faint", "on it"], ["visited", "focus", "compared"], ["followed", "kept", "links"]];
  rows.forEach((row, i) => {
    const y = top + i * each;
    svg.append("text").attr("x", 0).attr("y", y + 1.5 * bar + 4).attr("font-weight", 650).attr("font-size", 13).text(`Level ${row.level}`);
    kinds.forEach(([name, colour, words], j) => {
      svg.append("rect").attr("x", left).attr("y", y + j * bar + 2).attr("height", bar - 4).attr("width", row[name] ? Math.max(2, x(row[name]) - left) : 0)
        .attr("rx", 3).attr("fill", `var(--${colour})`).attr("data-level", row.level).attr("data-what", name).attr("data-value", row[name]);
      svg.append("text").attr("class", "soft").attr("x", (row[name] ? x(row[name]) : left) + 6).attr("y", y + j * bar + bar / 2 + 4).text(`${page.number(row[name])} ${row[name] === 1 && name === "followed" ? "link" : words}`);
    });
  });
});
