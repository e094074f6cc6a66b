// What the chosen patch has to do with the others: on panels of their own, a row of numbers for each patch.
import { element, slider } from "./elements.js";
import { bytesOf, enlarged } from "./maps.js";
import { give } from "./panels.js";

const kinds = {
  alike: ["Looks alike", "the cosine of their features"],
  attends: ["Attends to", "how the patch shares out its attention"],
  matters: ["Matters to the class", "what it takes from others, by what that adds to the score"],
};

// A panel for each kind, in `place`; nothing where the page knows of none.
export function relatedPanels(place, data, picture, page) {
  if (!place || !Object.keys(data.relations).length) return [];
  place.hidden = false;
  const row = element("div", { class: "panels" });
  place.append(row);
  return Object.entries(kinds).flatMap(([kind, [title, about]]) => {
    const given = data.relations[kind];
    const figure = element(
      "figure", { class: "panel" },
      element("figcaption", {}, element("h3", {}, title), element("p", { class: "told" }, kind === "attends" && !page.heads ? `${about}, heads averaged` : about)),
    );
    row.append(figure);
    if (given.reason) {
      figure.append(element("p", { class: "none" }, `Not here: ${given.reason}`));
      return [];
    }
    const relation = opened(given);
    const still = element("div", { class: "stage" });
    const colors = element("div", { class: "colors" }, element("img", { alt: "" }), element("span"), element("span"));
    figure.append(still, colors);
    if (given.per === "block") figure.append(...blockAndHead(given, page));
    const panel = { figure, which: null, method: { signed: given.signed, blocks: true }, map: null, field: null, relation };
    give(panel, picture, colors);
    return [panel];
  });
}

// Which block is shown, and which of its heads, where these can be asked for.
function blockAndHead({ layers, heads }, page) {
  const words = (of, all) => (at) => (at < 0 ? all : `${at + 1} of ${of}`);
  const first = Math.min(layers - 1, page.state.block);
  const head = page.heads && heads > 1
    ? slider("Head", [-1, heads - 1], Math.min(heads - 1, page.state.head), words(heads, "all, averaged"), (at) => page.set({ head: at }))
    : null;
  const shown = (block) => {
    if (head) head.hidden = block < 0;
  };
  const block = slider("Block", [-1, layers - 1], first, words(layers, "all, averaged"), (at) => {
    shown(at);
    page.set({ block: at });
  });
  shown(first);
  return head ? [block, head] : [block];
}

// What gives the heads of a block: null until they are here, when `ready` is told. Each block is asked for once.
export function headsFrom(host, ready) {
  const known = new Map();
  return (block) => {
    if (!known.has(block)) {
      known.set(block, null);
      host.heads({ block }).then((told) => {
        known.set(block, told && !told.error ? opened(told) : { error: told?.error ?? "The model was not asked." });
        ready();
      });
    }
    return known.get(block);
  };
}

function opened(given) {
  const steps = bytesOf(given.values);
  return {
    ...given, steps, ends: new Float32Array(bytesOf(given.ends).buffer),
    partners: given.partners ? new Uint32Array(bytesOf(given.partners).buffer) : null,
    kept: steps.length / (given.layers * given.rows * given.columns),
  };
}

// Give the panel the map of the chosen patch; none where no patch is chosen.
export function relate(panel, patch, page) {
  const { relation, canvas, figure } = panel;
  const { rows, columns, per, layers } = relation;
  const { block, head } = page.state;
  const single = per === "block" && patch && page.heads && block >= 0 && head >= 0 ? page.heads(Math.min(layers - 1, block)) : null;
  const key = patch && `${patch.row},${patch.column} ${page.state.class} ${block} ${single?.steps ? head : ""}`;
  if (single?.error) figure.querySelector(".told").textContent = single.error;
  if (panel.key === key) return;
  panel.key = key;
  panel.boxesKey = null;
  const [from, which] = single?.steps ? [single, [Math.min(single.layers - 1, head)]] : [relation, layersOf(per, layers, page.state)];
  panel.map = patch && { rows, columns, values: valuesOf(from, placeOn(relation, patch, page), which) };
  panel.field = panel.map && enlarged(panel.map, canvas.width, canvas.height, true);
}

// The patch of this grid under the middle of one of the page's.
function placeOn({ rows, columns }, patch, page) {
  const on = (at, from, to) => Math.floor(((at + 0.5) / from) * to);
  return on(patch.row, page.grid.rows, rows) * columns + on(patch.column, page.grid.columns, columns);
}

function layersOf(per, layers, state) {
  if (per === "class") return [Math.min(layers - 1, state.class)];
  if (per === "block" && state.block >= 0) return [Math.min(layers - 1, Math.round(state.block))];
  return [...Array(layers).keys()];
}

// A row for each layer, averaged. A partner that is not among the strongest is as weak as the weakest of them.
function valuesOf({ rows, columns, steps, ends, partners, kept, signed }, patch, layers) {
  const values = new Float32Array(rows * columns);
  for (const layer of layers) {
    const at = layer * values.length + patch;
    const [low, high] = [ends[2 * at], ends[2 * at + 1]];
    const row = new Float32Array(values.length).fill(signed ? 0 : low);
    for (let place = 0; place < kept; place += 1) {
      row[partners ? partners[at * kept + place] : place] = low + ((high - low) * steps[at * kept + place]) / 255;
    }
    for (let place = 0; place < row.length; place += 1) values[place] += row[place] / layers.length;
  }
  return values;
}
