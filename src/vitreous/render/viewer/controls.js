// What can be set: the class, how maps are drawn, how near the picture is.
import { element, slider, tick, choice, chips, finder } from "./elements.js";
import { lensOf, zoomed } from "./lens.js";

const percent = (value) => `${value}%`;
const most = 5; // classes that have a chip of their own
const palettes = [
  ["own", "each its own"], ["sequential", "dark to bright"], ["diverging", "blue and orange"], ["grey", "grey"],
];

export function fillControls(form, data, page) {
  const { state } = page;
  const set = (name) => (value) => page.set({ [name]: value });
  if (data.classes.length > 1) {
    const names = data.classes.map((each, at) => [at, `${each.name} · ${each.shown}`]);
    const first = chips("Class", names.slice(0, most), state.class, set("class"));
    form.append(first);
    if (names.length > most) {
      form.append(finder("Find a class", data.classes.map((each) => each.name), (at) => {
        page.set({ class: at });
        [...first.querySelectorAll("button")].forEach((each, chip) => each.setAttribute("aria-pressed", String(chip === at)));
      }));
    }
  }
  form.append(
    slider("Opacity", [0, 100], state.opacity, percent, set("opacity")),
    slider("Threshold", [0, 95, 5], state.threshold, (value) => (value ? `${value}%` : "none"), set("threshold")),
    choice("Colors", palettes, state.palette, set("palette")),
    ...(data.regions.length ? [choice("Regions", stages(data.regions), String(state.regions), (at) => set("regions")(Number(at)))] : []),
    tick("All on one scale", state.scale === "common", (on) => page.set({ scale: on ? "common" : "own" })),
    tick("Boxes above the threshold", Boolean(state.boxes), (on) => page.set({ boxes: Number(on) })),
    ...(data.methods.some((each) => each.specks.flat().length)
      ? [tick("Frames around artifacts", Boolean(state.specks), (on) => page.set({ specks: Number(on) }))] : []),
    zoomButtons(page),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.classList.toggle("own", Boolean(data.regions.length)); // more than how maps are drawn
  form.hidden = false;
}

function stages(regions) {
  return [["0", "not shown"], ...regions.map((_, at) => [String(at + 1), `of stage ${at + 1}`])];
}

function zoomButtons(page) {
  const button = (name, pressed) => {
    const made = element("button", { type: "button" }, name);
    made.addEventListener("click", pressed);
    return made;
  };
  return element(
    "fieldset", {}, element("legend", {}, "Zoom"),
    button("nearer", () => page.look(zoomed(page.lens, 1.5, page.center()))),
    button("farther", () => page.look(zoomed(page.lens, 1 / 1.5, page.center()))),
    button("all of it", () => page.look(lensOf())),
  );
}
