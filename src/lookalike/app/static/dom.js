// Elements are built, never parsed: a file name stays text, whatever it holds.

/** An element with properties and children; `class`, `data-*`, `aria-*` and `role` become attributes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && !key.includes("-") && key !== "style") node[key] = value;
    else if (key === "style") Object.entries(value).forEach(([name, set]) => node.style.setProperty(name, set));
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing of 24 by 24 from its paths. */
export function icon(name, size = 20) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "lk-icon" };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

const ICONS = {
  picture: ["M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 9.5h.01"],
  paste: ["M9 4h6v3H9z", "M9 5.5H6V20h12V5.5h-3"],
  camera: ["M4 8h4l1.5-2.5h5L16 8h4v11H4z", "M12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  search: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "M15.5 15.5L20 20"],
  alert: ["M12 4l9 16H3z", "M12 10v4.5", "M12 17.2v.01"],
  moon: ["M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z"],
  open: ["M13 5h6v6", "M19 5l-9 9", "M11 6H5v13h13v-6"],
};
