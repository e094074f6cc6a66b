// What is set on the page, and the same in its address, so that a link opens the page as it was.

const start = {
  class: 0, opacity: 75, threshold: 0, palette: "own", scale: "own", boxes: 0, patch: "", map: 0, way: "most", step: 0,
  block: -1, head: -1, regions: 0, level: "", walked: -1, kept: 0,
  tab: "maps", alike: "", specks: 1,
};

// The state that the address names; what it does not name, or names wrongly, is as it is at the start.
export function readState(address, kept = {}) {
  const state = { ...start, ...kept };
  for (const [name, text] of new URLSearchParams(address.replace(/^#/, ""))) {
    if (!Object.hasOwn(start, name)) continue;
    const value = typeof start[name] === "number" ? Number(text) : text;
    if (typeof value === "string" || Number.isFinite(value)) state[name] = value;
  }
  return state;
}

// Write the state into the address, where the page has one.
export function keepState(state) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value !== start[name]) said.set(name, value);
  const text = said.toString();
  if (location.protocol === "about:") return; // inside a notebook
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// "row,column" as two numbers on the grid; null for no patch.
export function patchOf(text, grid) {
  const found = /^(\d+),(\d+)$/.exec(text);
  if (!found) return null;
  const [row, column] = [Number(found[1]), Number(found[2])];
  return row < grid.rows && column < grid.columns ? { row, column } : null;
}
