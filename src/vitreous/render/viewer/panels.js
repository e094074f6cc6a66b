// The panels of the maps: each a canvas to paint on, under a drawing that holds what is marked.
import { element, shape } from "./elements.js";
import { unpacked, enlarged, scaleOf, told } from "./maps.js";
import { paint, paintBar } from "./paint.js";
import { boxesAbove } from "./boxes.js";

// Every panel of the page, ready to paint; of a panel without a map only what hides and shows it.
export function panelsOf(root, data, picture) {
  return [...root.querySelectorAll(".panel")].map((figure) => {
    const about = { figure, which: null, method: null, map: null, field: null, stage: null };
    if (figure.dataset.method !== undefined) {
      about.method = data.methods[Number(figure.dataset.method)];
      about.which = Number(figure.dataset.class);
      about.map = unpacked(about.method.maps[about.which]);
    }
    if (!about.method || about.map) give(about, picture ?? figure.querySelector(".stage img"), figure.querySelector(".colors"));
    return about;
  });
}

// Make a panel one to paint on, as large as a picture; `colors` is where its scale stands, if it has one.
export function give(panel, source, colors) {
  const stage = panel.figure.querySelector(".stage");
  const canvas = element("canvas", { width: source.naturalWidth ?? source.width, height: source.naturalHeight ?? source.height, "aria-hidden": "true" });
  const marks = shape("svg", {
    viewBox: `0 0 ${canvas.width} ${canvas.height}`, preserveAspectRatio: "none", "aria-hidden": "true",
  });
  const plane = element("div", { class: "plane" }, canvas, marks);
  stage.replaceChildren(plane);
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  const name = panel.figure.querySelector("h2, h3").textContent;
  stage.setAttribute("aria-label", `${name}: arrow keys choose a patch, Escape none, plus and minus zoom`);
  const value = element("p", { class: "value" });
  panel.figure.append(value);
  Object.assign(panel, { stage, plane, canvas, marks, value, name });
  if (panel.map) panel.field = enlarged(panel.map, canvas.width, canvas.height, panel.method.blocks);
  if (colors) {
    panel.colors = colors;
    panel.bar = element("canvas", { width: 320, height: 8, "aria-hidden": "true" });
    panel.bar.className = "bar";
    colors.querySelector("img").replaceWith(panel.bar);
    panel.ends = [...colors.querySelectorAll("span")];
  }
}

// Paint a panel as the state says.
export function show(panel, all, picture, tables, state) {
  if (!panel.stage) return;
  if (panel.colors && (panel.relation || panel.own)) panel.colors.hidden = !panel.map;
  if (!panel.map) {
    paint(panel.canvas, picture, null);
    return;
  }
  const scale = scaleFor(panel, all, state);
  const table = tables[state.palette in tables ? state.palette : scale.signed ? "diverging" : "sequential"];
  panel.scale = scale;
  paint(panel.canvas, picture, panel.field, scale, table, panel.own ? { ...state, threshold: 0 } : state);
  paintBar(panel.bar, table);
  panel.ends[0].textContent = told(scale.low);
  panel.ends.at(-1).textContent = told(scale.high);
  if (panel.ends.length === 3) panel.ends[1].textContent = "0";
  else if (scale.signed) panel.ends[0].after(panel.middle ??= element("span", {}, "0"));
  else panel.middle?.remove();
}

// A map's own scale, or one for all maps of the class.
function scaleFor(panel, all, state) {
  if (panel.limits) return panel.limits;
  if (state.scale !== "common" || panel.relation) return scaleOf([panel.map], panel.method.signed);
  const shown = all.filter((each) => each.map && each.which === panel.which);
  return scaleOf(shown.map((each) => each.map), shown.some((each) => each.method.signed));
}

// What is marked on a panel: artifacts that spoil the map, boxes above the threshold, the chosen patch, the place under the pointer.
export function mark(panel, grid, patch, pointer, state, hidden) {
  if (!panel.stage) return;
  const { width, height } = panel.canvas;
  const drawn = [];
  const [across, down] = [width / grid.columns, height / grid.rows];
  for (const { row, column } of hidden.values()) {
    drawn.push(shape("rect", { class: "gone", x: column * across, y: row * down, width: across, height: down }));
  }
  for (const [row, column] of (state.specks && panel.method?.specks?.[panel.which]) || []) {
    const [wide, high] = [width / panel.map.columns, height / panel.map.rows];
    for (const kind of ["speck under", "speck"]) {
      drawn.push(shape("rect", { class: kind, x: column * wide, y: row * high, width: wide, height: high }));
    }
  }
  if (state.boxes && panel.map && !panel.own) {
    const level = state.threshold ? state.threshold / 100 : 0.5;
    for (const [left, top, right, bottom] of boxesOf(panel, level)) {
      for (const kind of ["frame under", "frame"]) {
        drawn.push(shape("rect", { class: kind, x: left, y: top, width: right - left, height: bottom - top }));
      }
    }
  }
  if (patch) {
    for (const kind of ["cell under", "cell"]) {
      drawn.push(shape("rect", { class: kind, x: patch.column * across, y: patch.row * down, width: across, height: down }));
    }
  }
  if (pointer) {
    const [x, y] = [pointer.x * width, pointer.y * height];
    for (const kind of ["cross under", "cross"]) {
      drawn.push(shape("path", { class: kind, d: `M0 ${y}H${width}M${x} 0V${height}` }));
    }
  }
  panel.marks.replaceChildren(...drawn);
}

function boxesOf(panel, level) {
  const key = `${level} ${panel.scale.low} ${panel.scale.high}`;
  if (panel.boxesKey !== key) {
    const { width, height } = panel.canvas;
    panel.boxes = boxesAbove(panel.field, width, height, panel.scale, level);
    panel.boxesKey = key;
  }
  return panel.boxes;
}

// The map's value at a place of the picture, both sides from 0 to 1.
export function valueAt(panel, place) {
  const { width, height } = panel.canvas;
  const x = Math.min(width - 1, Math.floor(place.x * width));
  const y = Math.min(height - 1, Math.floor(place.y * height));
  return panel.field[y * width + x];
}
