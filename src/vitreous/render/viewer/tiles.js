// Small pictures of a color for each patch: the chosen patch is marked on all, and a click on one chooses.
import { shape } from "./elements.js";
import { give } from "./panels.js";

// The pictures beside the tiles, ready to paint; on them keys choose, too.
export function seenPanels(root, picture) {
  if (!picture) return [];
  return [...root.querySelectorAll(".tile.seen")].map((figure) => {
    const panel = { figure, which: null, method: null, map: null, field: null, stage: null, own: true };
    give(panel, picture, null);
    return panel;
  });
}

// Listen on all tiles; returns what marks a patch of the page's grid on them.
export function listenOnTiles(root, page) {
  const tiles = [...root.querySelectorAll(".tile > svg")];
  const marks = tiles.map((tile) => {
    const mark = shape("g");
    tile.append(mark);
    tile.addEventListener("click", (event) => {
      const box = tile.getBoundingClientRect();
      const cell = (at, length, count) => Math.min(count - 1, Math.max(0, Math.floor((at / length) * count)));
      const { rows, columns } = page.grid;
      page.choose({ row: cell(event.clientY - box.top, box.height, rows), column: cell(event.clientX - box.left, box.width, columns) });
    });
    return mark;
  });
  return (patch) => {
    for (const [at, mark] of marks.entries()) {
      const [across, down] = [tiles[at].dataset.columns / page.grid.columns, tiles[at].dataset.rows / page.grid.rows];
      mark.replaceChildren(...(patch ? ["cell under", "cell"] : []).map((kind) => shape(
        "rect", { class: kind, x: patch.column * across, y: patch.row * down, width: across, height: down },
      )));
    }
  };
}
