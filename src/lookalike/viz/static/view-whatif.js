// What other settings would have found: computed here, from the distances in the file.
"use strict";
lookalike.view("whatif", (stage, data, page) => {
  const ms = Object.keys(data.estimated).map(Number).sort((a, b) => a - b), all = d3.range(data.ids.length);
  const state = (data.state ??= { nprobe: data.nprobe, m: data.m, candidates: 0 });
  const goal = new Set(data.goal), reach = data.kth + 1e-6;
  const orders = {}, fresh = all.filter((i) => data.estimated[data.m][i] === null && data.list_no[i] < 0);
  const sorted = (m) => (orders[m] ??= all.filter((i) => data.estimated[m][i] !== null)
    .sort((a, b) => data.estimated[m][a] - data.estimated[m][b] || data.ids[a] - data.ids[b]));
  // The k results of a search of nprobe lists with codes of m bytes, of which so many are compared again (0: none).
  function search(nprobe, m, candidates) {
    const met = sorted(m).filter((i) => data.rank[i] < nprobe);
    let best = met.slice(0, candidates ? Math.max(data.k, candidates) : data.k);
    if (candidates) best = best.concat(fresh).sort((a, b) => data.exact[a] - data.exact[b] || data.ids[a] - data.ids[b]).slice(0, data.k);
    return { scanned: met.length, results: best, found: best.filter((i) => goal.has(data.ids[i]) || data.exact[i] <= reach).length };
  }
  const grid = stage.appendChild(document.createElement("div"));
  grid.style.cssText = "display:grid;gap:6px 14px;grid-template-columns:minmax(0,auto) minmax(70px,1fr) auto;align-items:center;max-width:760px;font-size:14.5px";
  function slider(name, key, values, tell) {
    const label = grid.appendChild(document.createElement("label")), range = grid.appendChild(document.createElement("input")), said = grid.appendChild(document.createElement("output"));
    label.textContent = name;
    label.htmlFor = range.id = `whatif-${key}`;
    Object.assign(range, { type: "range", min: 0, max: values.length - 1, step: 1, value: nearest(values, state[key]) });
    range.style.cssText = "min-width:0;width:100%";
    said.style.cssText = "max-width:16ch;font-variant-numeric:tabular-nums";
    const apply = () => { state[key] = values[Number(range.value)]; said.textContent = tell(state[key]); range.setAttribute("aria-valuetext", said.textContent); };
    range.addEventListener("input", () => { apply(); draw(); });
    apply();
  }
  const nearest = (values, wanted) => d3.leastIndex(values, (a, b) => Math.abs(a - wanted) - Math.abs(b - wanted));
  const probes = data.lists <= 64 ? d3.range(1, data.lists + 1) : [...new Set([...d3.range(0, 60).map((i) => Math.round(data.lists ** (i / 59))), data.nprobe])].filter((v) => v >= 1).sort((a, b) => a - b);
  const again = [...new Set([0, data.k, 2 * data.k, 4 * data.k, 10 * data.k, 20 * data.k, 40 * data.k, 80 * data.k, data.candidates])].filter((c) => c <= Math.max(data.candidates, data.ids.length)).sort((a, b) => a - b);
  slider("Lists visited (nprobe)", "nprobe", probes, (v) => `${v} of ${page.number(data.nlist)}`);
  slider("Bytes a code (m)", "m", ms, (v) => `${v} pieces${v === data.m ? ", as it is" : ""}`);
  slider("Re-ranking", "candidates", again, (v) => (v ? `${page.number(v)} candidates` : "off"));
  const tiles = stage.appendChild(document.createElement("div"));
  tiles.style.cssText = "display:flex;flex-wrap:wrap;gap:10px 32px;margin:16px 0 10px";
  const results = stage.appendChild(document.createElement("div"));
  results.style.cssText = "display:flex;flex-wrap:wrap;gap:8px";
  const curve = stage.appendChild(document.createElement("div"));
  const width = page.width(stage), height = 262, box = { left: 52, right: 92, top: 38, bottom: 36 };
  function tile(name, value, key, raw) {
    const made = tiles.appendChild(document.createElement("div"));
    const big = made.appendChild(document.createElement("div")), small = made.appendChild(document.createElement("div"));
    big.textContent = value;
    big.style.cssText = "font-size:26px;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.2";
    big.dataset.tile = key;
    big.dataset.value = raw;
    small.textContent = name;
    small.style.cssText = "color:var(--soft);font-size:13px";
  }
  let curves = { of: null };
  function draw() {
    const now = search(state.nprobe, state.m, state.candidates), size = goal.size;
    tiles.replaceChildren();
    tile(`true neighbours found, of ${size}`, `${Math.min(now.found, size)} (${size ? Math.round(100 * Math.min(1, now.found / size)) : 100} %)`, "found", Math.min(now.found, size));
    tile(`vectors scanned, of ${page.number(data.total)}`, page.number(now.scanned), "scanned", now.scanned);
    tile("bytes a vector, with id and bias", `${data.bytes[state.m]}`, "bytes", data.bytes[state.m]);
    tile("exact distances computed", page.number(state.candidates ? Math.min(now.scanned, Math.max(state.candidates, data.k)) : 0), "exact", state.candidates);
    results.replaceChildren();
    const hits = new Set(now.results.map((i) => data.ids[i]));
    for (const i of now.results) show(data.ids[i], goal.has(data.ids[i]) || data.exact[i] <= reach ? "found" : "false", data.exact[i], data.estimated[state.m][i]);
    for (const id of data.goal) if (!hits.has(id)) show(id, "missed", data.exact[data.ids.indexOf(id)], data.estimated[state.m][data.ids.indexOf(id)]);
    plot();
  }
  function show(id, what, exact, estimated) {
    const frame = results.appendChild(document.createElement("div"));
    frame.className = "result";
    frame.dataset.id = id;
    frame.dataset.what = what;
    frame.style.cssText = `border-radius:10px;padding:3px;border:2.5px ${what === "missed" ? "dashed var(--missed)" : what === "found" ? "solid var(--kept)" : "solid var(--line)"};opacity:${what === "missed" ? 0.75 : 1}`;
    const thumb = frame.appendChild(page.thumb(id, 68)), sign = frame.appendChild(document.createElement("div"));
    sign.textContent = what === "found" ? "true" : what === "missed" ? "✕ missed" : "not one";
    sign.style.cssText = `font-size:11.5px;text-align:center;color:var(--${what === "missed" ? "missed" : what === "found" ? "kept" : "soft"})`;
    thumb.title = `${page.picture(id).name}\ntrue distance ${page.number(exact, 6)}${estimated === null ? "" : `\nestimated ${page.number(estimated, 6)}`}`;
  }
  function plot() {
    const few = probes.length <= 24 ? probes : probes.filter((_, i) => i % Math.ceil(probes.length / 24) === 0 || i === probes.length - 1);
    if (curves.of !== state.candidates) curves = { of: state.candidates, lines: ms.map((m) => ({ m, points: few.map((p) => [p, Math.min(1, search(p, m, state.candidates).found / (goal.size || 1))]) })) };
    curve.replaceChildren();
    const svg = d3.select(curve).append("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    const x = (data.lists > 24 ? d3.scaleLog : d3.scaleLinear)([1, Math.max(2, data.lists)], [box.left, width - box.right]), y = d3.scaleLinear([0, 1], [height - box.bottom, box.top]);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - box.bottom})`).call(d3.axisBottom(x).ticks(8, "d"));
    svg.append("g").attr("class", "axis").attr("transform", `translate(${box.left},0)`).call(d3.axisLeft(y).ticks(5, "%"));
    svg.append("text").attr("class", "soft").attr("x", width - box.right).attr("y", height - 4).attr("text-anchor", "end").text("lists visited (nprobe) →");
    const ends = curves.lines.map((d) => ({ m: d.m, y: y(d.points.at(-1)[1]) })).sort((a, b) => a.y - b.y || b.m - a.m);
    ends.forEach((end, i) => { end.at = i ? Math.max(end.y, ends[i - 1].at + 14) : end.y; });
    const over = Math.max(0, (ends.at(-1)?.at ?? 0) - (height - box.bottom)), dashes = { 0: "2 4", 1: "6 4", 2: "none", 3: "12 3" };
    for (const { m, points } of curves.lines) {
      const on = m === state.m;
      svg.append("path").attr("class", "curve").attr("data-m", m).attr("d", d3.line().x((p) => x(p[0])).y((p) => y(p[1])).curve(d3.curveStepAfter)(points)).attr("fill", "none")
        .attr("stroke", on ? "var(--kept)" : "var(--faint)").attr("stroke-width", on ? 2.8 : 1.6).attr("stroke-dasharray", dashes[ms.indexOf(m)] ?? "none");
      svg.append("text").attr("x", width - box.right + 8).attr("y", ends.find((e) => e.m === m).at - over + 4).style("font-weight", on ? 700 : 400).style("fill", on ? "var(--kept)" : "var(--soft)").text(`m = ${m}`);
    }
    svg.append("line").attr("x1", x(state.nprobe)).attr("x2", x(state.nprobe)).attr("y1", box.top).attr("y2", height - box.bottom).attr("stroke", "var(--query)").attr("stroke-dasharray", "3 3");
    svg.append("text").attr("x", box.left + 6).attr("y", 24).text(`↑ true neighbours found${state.candidates ? "" : ", by codes alone"}`);
  }
  lookalike.whatif = (nprobe, m, candidates) => search(nprobe, m, candidates).results.map((i) => data.ids[i]);
  draw();
});
