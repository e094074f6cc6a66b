// Boxes around the places where a map is above the threshold: one around each group of pixels that touch.
import { heightOf } from "./maps.js";

const smallest = 0.0005; // of the picture's area: less is not worth a frame

// [left, top, right, bottom] in pixels, right and bottom exclusive; those around the strongest values first.
export function boxesAbove(field, width, height, scale, threshold) {
  const todo = new Uint8Array(field.length);
  for (let at = 0; at < field.length; at += 1) todo[at] = heightOf(field[at], scale) >= threshold ? 1 : 0;
  const found = [];
  for (let start = 0; start < field.length; start += 1) {
    if (todo[start]) found.push(groupFrom(start, field, todo, width, height));
  }
  const kept = found.filter((each) => each.size >= smallest * field.length);
  return kept.sort((one, other) => other.peak - one.peak).map((each) => each.box);
}

function groupFrom(start, field, todo, width, height) {
  const stack = [start];
  todo[start] = 0;
  const box = [width, height, 0, 0];
  let peak = -Infinity;
  let size = 0;
  while (stack.length) {
    const at = stack.pop();
    const [x, y] = [at % width, Math.floor(at / width)];
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
    peak = Math.max(peak, field[at]);
    size += 1;
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row += 1) {
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column += 1) {
        const next = row * width + column;
        if (todo[next]) {
          todo[next] = 0;
          stack.push(next);
        }
      }
    }
  }
  return { box, peak, size };
}
