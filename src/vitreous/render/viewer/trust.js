// The curves of one map, and a slider that hides patches of the picture and tells what the model then said.
import { element, shape, slider, choice, chips } from "./elements.js";

const high = 170;
const margin = 52; // of the chart, for the numbers beside it
const ways = [["most", "strongest patches first"], ["least", "weakest patches first"]];

// Fill the scrubber for the class shown; `page` has `state`, and is told what is set.
export function fillScrubber(place, data, picture, page) {
  const trust = data.trust[page.state.class];
  const names = trust ? data.methods.filter((each) => trust.maps[each.name]) : [];
  place.hidden = !names.length;
  if (!names.length) return;
  const at = Math.min(page.state.map, names.length - 1);
  const steps = trust.hidden.length - 1;
  const scrub = { trust, found: trust.maps[names[at].name], steps, page, picture };
  scrub.canvas = picture && element("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
  scrub.canvas?.setAttribute("role", "img");
  scrub.words = element("p", { "aria-live": "polite" });
  scrub.chart = shape("svg", { role: "img" });
  scrub.chart.setAttribute("aria-label", `${trust.of} while patches are hidden`);
  const refill = (change) => {
    page.set(change);
    fillScrubber(place, data, picture, page);
  };
  const side = element(
    "div", {},
    choice("Map", names.map((each, index) => [String(index), each.title]), String(at), (value) => refill({ map: Number(value) })),
    chips("Hide", ways, page.state.way, (way) => { page.set({ way }); draw(scrub); }),
    slider("Step", [0, steps], Math.min(steps, page.state.step), (value) => `${trust.hidden[value]} of ${trust.hidden.at(-1)} patches`,
      (step) => { page.set({ step }); draw(scrub); }),
    scrub.words, scrub.chart,
  );
  place.replaceChildren(...(scrub.canvas ? [scrub.canvas] : []), side);
  draw(scrub);
  new ResizeObserver(() => draw(scrub)).observe(side); // letters keep their size, whatever the width
}

function draw(scrub) {
  const { trust, found, steps, page } = scrub;
  const step = Math.min(steps, Math.max(0, Math.round(page.state.step)));
  const curve = page.state.way === "least" ? found.least_first : found.most_first;
  const order = page.state.way === "least" ? [...found.order].reverse() : found.order;
  const count = trust.hidden[step];
  if (scrub.canvas) hide(scrub, order.slice(0, count));
  const then = curve.said[step] ? ` The model then says: ${curve.said[step]}.` : "";
  scrub.words.textContent = `${count} of ${trust.hidden.at(-1)} patches hidden. ${capital(trust.of)}: ${shown(trust, curve.values[step])}.${then}`;
  scrub.canvas?.setAttribute("aria-label", `the picture with ${count} patches hidden`);
  chart(scrub, step);
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function shown(trust, value) {
  return trust.of.startsWith("probability") ? `${(100 * value).toFixed(1)}%` : String(Number(value.toPrecision(4)));
}

// The picture with these patches in one tone: the mean of the picture.
function hide(scrub, patches) {
  const { canvas, picture, trust } = scrub;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  scrub.tone ??= meanOf(context.getImageData(0, 0, canvas.width, canvas.height).data);
  context.fillStyle = scrub.tone;
  const [rows, columns] = trust.grid;
  const edge = (at, count, length) => Math.round((at * length) / count);
  for (const patch of patches) {
    const [row, column] = [Math.floor(patch / columns), patch % columns];
    const [left, top] = [edge(column, columns, canvas.width), edge(row, rows, canvas.height)];
    const [right, bottom] = [edge(column + 1, columns, canvas.width), edge(row + 1, rows, canvas.height)];
    context.fillRect(left, top, right - left, bottom - top);
  }
}

function meanOf(pixels) {
  const sums = [0, 0, 0];
  for (let at = 0; at < pixels.length; at += 4) for (const channel of [0, 1, 2]) sums[channel] += pixels[at + channel];
  return `rgb(${sums.map((sum) => Math.round((4 * sum) / pixels.length)).join(",")})`;
}

function chart(scrub, step) {
  const { trust, found } = scrub;
  const wide = Math.max(120, Math.min(560, scrub.chart.parentElement.clientWidth - margin - 8));
  scrub.chart.setAttribute("viewBox", `${-margin} -8 ${wide + margin + 8} ${high + 48}`);
  scrub.chart.setAttribute("width", wide + margin + 8);
  const values = [...found.most_first.values, ...found.least_first.values];
  const share = trust.of.startsWith("probability");
  const low = share && Math.min(...values) >= 0 ? 0 : Math.min(...values);
  const top = share && Math.min(...values) >= 0 ? 1 : Math.max(...values);
  const all = trust.hidden.at(-1);
  const x = (at) => (wide * trust.hidden[at]) / all;
  const y = (value) => high * (1 - (value - low) / (top - low || 1));
  const line = (curve, kind) => shape("polyline", { class: kind, points: curve.values.map((value, at) => `${x(at)},${y(value)}`).join(" ") });
  const dot = (curve, kind) => shape("circle", { class: kind, cx: x(step), cy: y(curve.values[step]), r: 4 });
  const text = (left, down, words, anchor) => shape("text", { x: left, y: down, "text-anchor": anchor }, words);
  scrub.chart.replaceChildren(
    shape("path", { class: "axis", d: `M0 0V${high}H${wide}` }),
    shape("path", { class: "at", d: `M${x(step)} 0V${high}` }),
    line(found.most_first, "most"), line(found.least_first, "least"),
    dot(found.most_first, "dot-most"), dot(found.least_first, "dot-least"),
    text(-5, 8, shown(trust, top), "end"), text(-5, high, shown(trust, low), "end"),
    text(0, high + 18, "no patch hidden", "start"), text(wide, high + 18, "all hidden", "end"),
    text(wide / 2, high + 36, "— strongest first    - - weakest first", "middle"),
  );
}
