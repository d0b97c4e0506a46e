// Each true neighbour that the codes alone did not bring, and why.
"use strict";
lookalike.view("missed", (stage, data, page) => {
  if (!data.missed.length) {
    stage.appendChild(document.createElement("p")).textContent = "None: every true neighbour is among those kept by their codes.";
    return;
  }
  const list = stage.appendChild(document.createElement("ul"));
  list.style.cssText = "list-style:none;margin:0;padding:0;display:grid;gap:10px;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr))";
  for (const miss of data.missed) {
    const item = list.appendChild(document.createElement("li"));
    item.className = "miss";
    item.style.cssText = "display:flex;gap:12px;border:1px solid var(--line);border-left:4px solid var(--missed);border-radius:10px;padding:10px;min-width:0";
    for (const [key, value] of Object.entries({ id: miss.id, reason: miss.reason, distance: miss.distance, rank: miss.rank, needed: miss.needed_nprobe })) if (value !== null) item.dataset[key] = value;
    item.appendChild(page.thumb(miss.id, 72)).style.flex = "none";
    const text = item.appendChild(document.createElement("div"));
    text.style.cssText = "min-width:0;overflow-wrap:anywhere;font-size:14px";
    const head = text.appendChild(document.createElement("b"));
    head.textContent = page.picture(miss.id).name;
    text.appendChild(document.createElement("div")).textContent = miss.sentence;
  }
});
