// Several models on one picture: the place under the pointer, the chosen patch, the zoom and how maps are drawn are the
// same on all pages, wherever each model saw the picture.
import { patchOf } from "./state.js";

const shared = ["opacity", "threshold", "palette", "scale", "boxes", "specks", "tab"]; // of the state

// Places and windows of one page's part of the picture, as another page has them; `from` and `to` are the parts' boxes,
// as shares of the whole picture.
export function placeIn(place, from, to) {
  const along = (at, low, high) => (from[low] + at * (from[high] - from[low]) - to[low]) / (to[high] - to[low]);
  const [x, y] = [along(place.x, 0, 2), along(place.y, 1, 3)];
  return x >= 0 && x < 1 && y >= 0 && y < 1 ? { x, y } : null;
}

export function lensIn(lens, from, to) {
  const zoom = Math.min(8, Math.max(1, (lens.zoom * (to[2] - to[0])) / (from[2] - from[0])));
  const middle = placeIn({ x: lens.x + 0.5 / lens.zoom, y: lens.y + 0.5 / lens.zoom }, from, to) ?? { x: 0.5, y: 0.5 };
  const start = (at) => Math.min(1 - 1 / zoom, Math.max(0, at - 0.5 / zoom));
  return { zoom, x: start(middle.x), y: start(middle.y) };
}

function patchIn(patch, one, other) {
  if (!patch) return null;
  const { rows, columns } = one.page.grid;
  const place = placeIn({ x: (patch.column + 0.5) / columns, y: (patch.row + 0.5) / rows }, one.box, other.box);
  const there = other.page.grid;
  return place && { row: Math.floor(place.y * there.rows), column: Math.floor(place.x * there.columns) };
}

// Pages that join follow each other from then on; one that has left the document is forgotten.
export function linkOf() {
  let joined = [];
  let passing = false;
  const pass = (one, tell) => {
    if (passing) return; // what another page was told comes back
    passing = true;
    joined = joined.filter((each) => each.root.isConnected);
    for (const other of joined) if (other !== one) tell(other);
    passing = false;
  };
  const join = (page, root, box) => {
    const one = { page, root, box };
    const { set, look, point, press } = page;
    page.set = (change) => {
      set(change);
      const kept = Object.fromEntries(Object.entries(change).filter(([name]) => shared.includes(name)));
      pass(one, (other) => {
        other.page.set(kept);
        if ("patch" in change) other.page.choose(patchIn(patchOf(change.patch, page.grid), one, other));
      });
    };
    page.look = (lens) => {
      look(lens);
      pass(one, (other) => other.page.look(lensIn(lens, one.box, other.box)));
    };
    page.point = (place) => {
      point(place);
      pass(one, (other) => other.page.point(place && placeIn(place, one.box, other.box)));
    };
    page.press = (patch) => {
      press(patch);
      pass(one, (other) => {
        const there = patchIn(patch, one, other);
        if (there) other.page.press(there); // it is hidden where patches are hidden by click
      });
    };
    const other = joined.find((each) => each.root.isConnected);
    if (other) page.set(Object.fromEntries(shared.map((name) => [name, other.page.state[name]])));
    joined.push(one);
  };
  return { join };
}
