// The regions that a model cuts the picture into: tinted, with lines where they meet.
import { bytesOf } from "./maps.js";

const ratio = 1.2207440846057596; // the root of x⁴ = x + 1: multiples of its powers, modulo 1, keep clear of each other

export function openedRegions(packed) {
  return packed.map((each) => ({ ...each, values: new Uint32Array(bytesOf(each.values).buffer) }));
}

// Which region a place of the picture lies in; both sides from 0 to 1.
export function regionAt(regions, x, y) {
  const [row, column] = [Math.floor(y * regions.rows), Math.floor(x * regions.columns)];
  return regions.values[row * regions.columns + column];
}

export function tint(canvas, regions, strength) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.getImageData(0, 0, width, height);
  const pixels = image.data;
  const numbers = new Uint32Array(width * height);
  for (let at = 0; at < numbers.length; at += 1) {
    numbers[at] = regionAt(regions, (at % width) / width, Math.floor(at / width) / height);
    const border = (at % width && numbers[at] !== numbers[at - 1]) || (at >= width && numbers[at] !== numbers[at - width]);
    for (let channel = 0; channel < 3; channel += 1) {
      const tone = border ? 255 : 255 * ((0.5 + numbers[at] * ratio ** -(channel + 1)) % 1);
      const old = pixels[4 * at + channel];
      pixels[4 * at + channel] = Math.round(old + (tone - old) * (border ? 1 : strength));
    }
  }
  context.putImageData(image, 0, 0);
}
