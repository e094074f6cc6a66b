// Maps as they come in the page, their scales, and how they are enlarged: as render/overlay.py does it.

// A map with its numbers; null stays null.
export function unpacked(packed) {
  if (!packed) return null;
  const values = new Float32Array(bytesOf(packed.values).buffer);
  return { rows: packed.rows, columns: packed.columns, values };
}

export function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Which values are the first and the last color of these maps together.
export function scaleOf(maps, signed) {
  let low = Infinity;
  let high = -Infinity;
  for (const map of maps) {
    for (const value of map.values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const most = Math.max(Math.abs(low), Math.abs(high));
  return signed ? { low: -most, high: most, signed } : { low, high, signed };
}

// Where a value lies among the colors, from 0 to 1.
export function placeOf(value, scale) {
  return Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low)));
}

// How strong it is, from 0 to 1: its distance from zero, or from the lowest value.
export function strengthOf(place, scale) {
  return scale.signed ? Math.abs(2 * place - 1) : place;
}

// How far it is on the way to the threshold: on the side that speaks for the class.
export function heightOf(value, scale) {
  const floor = scale.signed ? 0 : scale.low;
  return (value - floor) / (scale.high - floor);
}

// A map at a picture's size: bilinear between the centers of patches, or each block in one piece.
export function enlarged(map, width, height, blocks) {
  const field = new Float32Array(width * height);
  const across = axis(map.columns, width, blocks);
  const down = axis(map.rows, height, blocks);
  for (let y = 0; y < height; y += 1) {
    const [top, bottom, v] = down[y];
    for (let x = 0; x < width; x += 1) {
      const [left, right, u] = across[x];
      const upper = map.values[top * map.columns + left] * (1 - u) + map.values[top * map.columns + right] * u;
      const lower = map.values[bottom * map.columns + left] * (1 - u) + map.values[bottom * map.columns + right] * u;
      field[y * width + x] = upper * (1 - v) + lower * v;
    }
  }
  return field;
}

// For each pixel the two cells that it lies between, and how far it is from the first.
function axis(cells, pixels, blocks) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const at = ((pixel + 0.5) * cells) / pixels;
    if (blocks) return [Math.floor(at), Math.floor(at), 0];
    const place = Math.max(0, at - 0.5);
    const first = Math.min(cells - 1, Math.floor(place));
    return [first, Math.min(cells - 1, first + 1), place - first];
  });
}

// A number as the eye reads it.
export function told(value) {
  return Number(value.toPrecision(3)).toString();
}
