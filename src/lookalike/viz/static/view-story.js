// The query, what the search did in numbers, and what it found.
"use strict";
lookalike.view("story", (stage, data, page) => {
  const row = stage.appendChild(document.createElement("div"));
  row.style.cssText = "display:flex;flex-wrap:wrap;gap:20px;align-items:center";
  if (data.query.src) {
    const image = row.appendChild(document.createElement("img"));
    image.src = data.query.src;
    image.alt = `the query, ${data.query.name}`;
    image.style.cssText = "max-width:150px;max-height:150px;border-radius:10px;border:3px solid var(--query)";
  }
  const steps = row.appendChild(document.createElement("ol"));
  steps.style.cssText = "display:grid;grid-template-columns:repeat(auto-fit,minmax(112px,1fr));gap:12px 20px;list-style:none;margin:0;padding:0;flex:1 1 280px;min-width:0";
  for (const { value, name, key } of data.numbers) {
    const item = steps.appendChild(document.createElement("li"));
    const big = item.appendChild(document.createElement("div")), small = item.appendChild(document.createElement("div"));
    big.textContent = page.number(value, 6);
    big.dataset.number = key;
    big.dataset.value = value;
    big.style.cssText = "font-size:28px;font-weight:650;letter-spacing:-.02em;line-height:1.15;font-variant-numeric:tabular-nums";
    small.textContent = name;
    small.style.cssText = "color:var(--soft);font-size:13.5px;max-width:17ch;line-height:1.35";
  }
  const found = stage.appendChild(document.createElement("ol"));
  found.style.cssText = "display:flex;flex-wrap:wrap;gap:10px;list-style:none;margin:18px 0 0;padding:0";
  data.results.forEach(({ id, distance, by }, i) => {
    const item = found.appendChild(document.createElement("li"));
    item.className = "hit";
    item.dataset.id = id;
    item.dataset.distance = distance;
    item.style.cssText = "width:84px;font-size:12px;text-align:center;line-height:1.3";
    const button = item.appendChild(document.createElement("button"));
    button.type = "button";
    button.style.cssText = `padding:2px;min-width:0;min-height:0;border:2.5px solid var(--${by === "codes" ? "kept" : "missed"});border-radius:10px`;
    button.setAttribute("aria-label", `${i + 1}: ${page.picture(id).name}`);
    button.appendChild(page.thumb(id, 74));
    button.addEventListener("click", () => page.select(id));
    item.appendChild(document.createElement("div")).textContent = page.number(distance, 4);
    item.lastChild.style.color = "var(--soft)";
  });
  page.legend(stage, [["mark", "ring", "kept", "nearest by codes already"], ["mark", "ring", "missed", "saved by re-ranking"]]);
  if (page.selected === null && data.first !== null) page.select(data.first, { offer: false });
});
