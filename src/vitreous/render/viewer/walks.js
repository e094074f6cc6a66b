// A method's walks over blocks, step by step: where each went, how much each block matters, and which ones stay.
import { element, shape, slider, tick, chips } from "./elements.js";
import { told } from "./maps.js";

// Take over the stills of every panel that has walks and is of the class shown.
export function fillWalks(panels, picture, page) {
  for (const panel of panels.filter((each) => each.which === page.state.class)) {
    const levels = panel.method?.levels?.[panel.which];
    const place = panel.figure.querySelector("details");
    if (picture && place && levels && Object.keys(levels).length) fillWalk(place, levels, picture, page);
  }
}

function fillWalk(place, levels, picture, page) {
  const names = Object.keys(levels);
  const name = names.includes(page.state.level) ? page.state.level : names.at(-1);
  const level = levels[name];
  const { naturalWidth: width, naturalHeight: height } = picture;
  const longest = Math.max(...level.walks.map((walk) => walk.length));
  const walk = { level, width, height, page, longest };
  walk.marks = shape("g");
  walk.words = element("p", { class: "value", "aria-live": "polite" });
  const drawing = shape(
    "svg", { viewBox: `0 0 ${width} ${height}`, class: "walk", role: "img", "aria-label": `${name} blocks on the picture` },
    shape("image", { href: picture.src, width, height }), walk.marks,
  );
  drawing.addEventListener("pointermove", (event) => tellBlock(walk, drawing, event));
  const refill = (chosen) => {
    page.set({ level: chosen });
    fillWalk(place, levels, picture, page);
  };
  const steps = Math.min(longest, page.state.walked < 0 ? longest : page.state.walked);
  place.replaceChildren(
    place.querySelector("summary"),
    ...(names.length > 1 ? [chips("Blocks", names.map((each) => [each, each]), name, refill)] : []),
    drawing, walk.words,
    slider("Walked", [0, longest], steps, (value) => `${value} of ${longest} blocks`, (walked) => { page.set({ walked }); drawWalk(walk); }),
    tick("Only the blocks that stay", Boolean(page.state.kept), (on) => { page.set({ kept: Number(on) }); drawWalk(walk); }),
  );
  drawWalk(walk);
}

function blockOf({ level, width, height }, node) {
  const [rows, columns] = level.grid;
  const [row, column] = [Math.floor(node / columns), node % columns];
  return { row, column, x: (column * width) / columns, y: (row * height) / rows, width: width / columns, height: height / rows };
}

function drawWalk(walk) {
  const { level, page, longest } = walk;
  const count = page.state.walked < 0 ? longest : Math.round(page.state.walked);
  const most = Math.max(...level.blocks.map((each) => each.importance)) || 1;
  const seen = new Set(level.walks.flatMap((nodes) => nodes.slice(0, count)));
  const shown = level.blocks.filter((each) => (page.state.kept ? each.kept : seen.has(nodeOf(level, each))));
  const drawn = shown.flatMap((each) => {
    const { x, y, width, height } = blockOf(walk, nodeOf(level, each));
    const share = Math.max(0, each.importance / most);
    return [
      shape("rect", { class: "block", x, y, width, height, "fill-opacity": (0.6 * share).toFixed(3) }),
      ...(each.kept ? ["frame under", "frame"].map((kind) => shape("rect", { class: kind, x, y, width, height })) : []),
    ];
  });
  const middle = ({ x, y, width, height }) => [x + width / 2, y + height / 2];
  for (const nodes of page.state.kept ? [] : level.walks) {
    const points = nodes.slice(0, count).map((node) => middle(blockOf(walk, node)));
    for (const kind of ["way under", "way"]) drawn.push(shape("polyline", { class: kind, points: points.join(" ") }));
    if (points.length) drawn.push(shape("circle", { class: "start", cx: points[0][0], cy: points[0][1], r: walk.width / 60 }));
    if (points.length) drawn.push(shape("circle", { class: "here", cx: points.at(-1)[0], cy: points.at(-1)[1], r: walk.width / 60 }));
  }
  walk.marks.replaceChildren(...drawn);
  const stay = level.blocks.filter((each) => each.kept).length;
  walk.words.textContent = `${stay} of ${level.grid[0] * level.grid[1]} blocks stay; all that were walked make up ${told(level.importance)}.`;
}

function nodeOf(level, block) {
  return block.row * level.grid[1] + block.column;
}

function tellBlock(walk, drawing, event) {
  const box = drawing.getBoundingClientRect();
  const [rows, columns] = walk.level.grid;
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const found = walk.level.blocks.find((each) => each.row === row && each.column === column);
  const what = found ? `${told(found.importance)} would be lost without it; it ${found.kept ? "stays" : "goes"}` : "no walk came by";
  walk.words.textContent = `Block in row ${row + 1}, column ${column + 1}: ${what}.`;
}
