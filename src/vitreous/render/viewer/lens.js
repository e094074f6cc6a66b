// What part of the picture all panels show, and what the pointer and the keys do there.
import { patchOf } from "./state.js";

const nearest = 8;

export function lensOf() {
  return { zoom: 1, x: 0, y: 0 };
}

// Zoom by a factor; the place stays where it is.
export function zoomed(lens, factor, place) {
  const zoom = Math.min(nearest, Math.max(1, lens.zoom * factor));
  const keep = (start, at) => inside(at - ((at - start) * lens.zoom) / zoom, zoom);
  return { zoom, x: keep(lens.x, place.x), y: keep(lens.y, place.y) };
}

function inside(start, zoom) {
  return Math.min(1 - 1 / zoom, Math.max(0, start));
}

export function through(lens, plane) {
  plane.style.transform = `scale(${lens.zoom}) translate(${-100 * lens.x}%, ${-100 * lens.y}%)`;
}

// Listen on a stage; `page` has `lens`, `state` and `grid`, and is told what to look at, point to and choose.
export function listen(stage, page) {
  const placeOf = (event) => {
    const box = stage.getBoundingClientRect();
    const within = (start, at) => Math.min(0.999999, Math.max(0, start + at / page.lens.zoom));
    return {
      x: within(page.lens.x, (event.clientX - box.left) / box.width),
      y: within(page.lens.y, (event.clientY - box.top) / box.height),
    };
  };
  const cellOf = (place) => ({
    row: Math.floor(place.y * page.grid.rows), column: Math.floor(place.x * page.grid.columns),
  });
  let dragged = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragged = { from: placeOf(event), far: false };
    if (page.lens.zoom > 1) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const place = placeOf(event);
    if (dragged && event.buttons && page.lens.zoom > 1) {
      const { zoom, x, y } = page.lens;
      dragged.far ||= Math.hypot(place.x - dragged.from.x, place.y - dragged.from.y) * zoom > 0.02;
      if (dragged.far) {
        page.look({ zoom, x: inside(x + dragged.from.x - place.x, zoom), y: inside(y + dragged.from.y - place.y, zoom) });
      }
    }
    page.point(place);
  });
  stage.addEventListener("pointerleave", () => page.point(null));
  stage.addEventListener("click", (event) => {
    if (!dragged?.far) page.press(cellOf(placeOf(event)));
    dragged = null;
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // else the page scrolls
    event.preventDefault();
    page.look(zoomed(page.lens, event.deltaY < 0 ? 1.25 : 0.8, placeOf(event)));
  }, { passive: false });
  stage.addEventListener("keydown", (event) => keyed(event, page));
}

const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function keyed(event, page) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { rows, columns } = page.grid;
  const patch = patchOf(page.state.patch, page.grid);
  if (event.key in arrows) {
    const [down, right] = arrows[event.key];
    const next = (at, step, count) => Math.min(count - 1, Math.max(0, at + step));
    const first = { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
    page.choose(patch ? { row: next(patch.row, down, rows), column: next(patch.column, right, columns) } : first);
  } else if (event.key === "Enter" || event.key === " ") {
    if (patch) page.press(patch);
  } else if (event.key === "Escape") page.choose(null);
  else if (event.key === "+" || event.key === "=") page.look(zoomed(page.lens, 1.5, page.center()));
  else if (event.key === "-") page.look(zoomed(page.lens, 1 / 1.5, page.center()));
  else if (event.key === "0") page.look(lensOf());
  else return;
  event.preventDefault();
}
