// Colors, and a map laid on its picture.
import { placeOf, strengthOf, heightOf } from "./maps.js";

const steps = 256;

// By name, the colors of each palette from low to high.
export function colorTables(palettes) {
  const tables = {};
  for (const [name, anchors] of Object.entries(palettes)) tables[name] = tableOf(anchors);
  tables.grey = tableOf(["#000000", "#ffffff"]);
  return tables;
}

function tableOf(anchors) {
  const colors = anchors.map((each) => [1, 3, 5].map((at) => parseInt(each.slice(at, at + 2), 16)));
  const table = new Uint8Array(3 * steps);
  for (let step = 0; step < steps; step += 1) {
    const place = (step / (steps - 1)) * (colors.length - 1);
    const first = Math.min(colors.length - 2, Math.floor(place));
    for (let channel = 0; channel < 3; channel += 1) {
      const [from, to] = [colors[first][channel], colors[first + 1][channel]];
      table[3 * step + channel] = Math.round(from + (to - from) * (place - first));
    }
  }
  return table;
}

// The picture, or nothing, and on it the map: what is weak, or below the threshold, is clear.
export function paint(canvas, picture, field, scale, table, look) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, width, height);
  if (picture) context.drawImage(picture, 0, 0, width, height);
  if (!field) return;
  const image = context.getImageData(0, 0, width, height);
  const pixels = image.data;
  const strongest = look.opacity / 100;
  const floor = look.threshold / 100;
  for (let at = 0; at < field.length; at += 1) {
    const place = placeOf(field[at], scale);
    const hidden = floor > 0 && (scale.signed ? strengthOf(place, scale) : heightOf(field[at], scale)) < floor;
    const opacity = hidden ? 0 : picture ? strongest * strengthOf(place, scale) : 1;
    const step = 3 * Math.round(place * (steps - 1));
    for (let channel = 0; channel < 3; channel += 1) {
      const old = pixels[4 * at + channel];
      pixels[4 * at + channel] = Math.round(old + (table[step + channel] - old) * opacity);
    }
    if (!picture) pixels[4 * at + 3] = hidden ? 0 : 255;
  }
  context.putImageData(image, 0, 0);
}

// The colors of a scale, from low to high.
export function paintBar(canvas, table) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < canvas.width * canvas.height; at += 1) {
    const step = 3 * Math.round(((at % canvas.width) / (canvas.width - 1)) * (steps - 1));
    image.data.set([table[step], table[step + 1], table[step + 2], 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
}
