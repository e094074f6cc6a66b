// How alike all patches are to the chosen one, or to the one in the middle, by features of a kind after a block.
import { element, choice } from "./elements.js";
import { bytesOf, enlarged, told } from "./maps.js";
import { give } from "./panels.js";

// The panels that show it, one for each model, in the places that the page has for them.
export function alikePanels(root, data, picture, page) {
  const places = picture ? [...root.querySelectorAll(".alike")] : [];
  return places.map((place) => alikePanel(place, Number(place.dataset.look), data, picture, page));
}

function alikePanel(place, look, data, picture, page) {
  const { rows, columns, alike } = data.inside[look];
  const squares = alike.map((each) => ({ ...each, steps: bytesOf(each.values) }));
  for (const still of place.parentElement.querySelectorAll(".still")) still.hidden = true;
  const heading = element("h3");
  const figure = element(
    "figure", { class: "panel" },
    element("figcaption", {}, heading),
    element("div", { class: "stage" }),
    element("div", { class: "colors" }, element("img", { alt: "" }), element("span"), element("span")),
  );
  heading.textContent = "Alike";
  const words = element("p", { "aria-live": "polite" });
  const chosen = () => {
    const at = page.state.alike.split(",")[look]; // of each model
    return at && squares[at] ? Number(at) : lastOf(squares);
  };
  const choose = (at) => {
    const all = page.state.alike.split(",");
    all[look] = at;
    page.set({ alike: all.join(",") });
  };
  place.append(
    element("form", { class: "controls" }, ...choices(squares, chosen, choose)),
    element("p", { class: "dim" }, "Click a patch, or move by the arrow keys."), words,
    element("div", { class: "panels large" }, figure),
  );
  place.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  place.hidden = false;
  const panel = { figure, which: null, method: { signed: false, blocks: true }, map: null, field: null, own: true, grid: { rows, columns } };
  give(panel, picture, figure.querySelector(".colors"));
  panel.update = (patch) => {
    const cell = patch ? onto(patch, page.grid, panel.grid) : { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
    const key = `${cell.row},${cell.column} ${chosen()}`;
    panel.marked = cell;
    if (panel.key === key) return;
    panel.key = key;
    const square = squares[chosen()];
    const from = cell.row * columns + cell.column;
    const values = rowOf(square, from, rows * columns);
    panel.map = { rows, columns, values };
    panel.field = enlarged(panel.map, panel.canvas.width, panel.canvas.height, true);
    const others = [...values.keys()].filter((at) => at !== from);
    const most = others.reduce((best, at) => (values[at] > values[best] ? at : best), others[0]);
    panel.limits = { low: Math.min(...others.map((at) => values[at])), high: values[most], signed: false };
    words.textContent = `Alike to the patch in row ${cell.row + 1}, column ${cell.column + 1}, by ${titled(square)}: a cosine of ${told(panel.limits.low)} to ` +
      `${told(panel.limits.high)}, the highest in row ${Math.floor(most / columns) + 1}, column ${(most % columns) + 1}.`;
  };
  return panel;
}

function titled({ kind, block }) {
  return `${kind} ${kind === "tokens" ? "after" : "of"} block ${block + 1}`;
}

// The tokens after the last block.
function lastOf(squares) {
  return squares.reduce((found, each, at) => (each.kind === "tokens" ? at : found), 0);
}

// Two lists: the kind of features, and the block, of those that there are of the kind.
function choices(squares, chosen, set) {
  const kinds = [...new Set(squares.map((each) => each.kind))];
  const blocksOf = (kind) => squares.flatMap((each, at) => (each.kind === kind ? [[String(at), `${each.block + 1}`]] : []));
  const first = squares[chosen()];
  const block = choice("Block", blocksOf(first.kind), String(chosen()), (at) => set(Number(at)));
  const kind = choice("Features", kinds.map((each) => [each, each]), first.kind, (wanted) => {
    const options = blocksOf(wanted);
    const select = block.querySelector("select");
    select.replaceChildren(...options.map(([value, words]) => element("option", { value }, words)));
    select.value = options.at(-1)[0];
    set(Number(select.value));
  });
  return kinds.length > 1 ? [kind, block] : [block];
}

// The patch of a grid under the middle of another grid's.
function onto(patch, from, to) {
  const along = (at, count, all) => Math.floor(((at + 0.5) / count) * all);
  return { row: along(patch.row, from.rows, to.rows), column: along(patch.column, from.columns, to.columns) };
}

// A row of a square of which the half up to the diagonal is kept.
function rowOf({ steps, low, high }, row, count) {
  const at = (one, other) => (Math.max(one, other) * (Math.max(one, other) + 1)) / 2 + Math.min(one, other);
  return Float32Array.from({ length: count }, (_, column) => low + ((high - low) * steps[at(row, column)]) / 255);
}
