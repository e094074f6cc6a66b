// What came back about a picture, put into an open page: its classes to choose from, and the viewer.
import { element, chips, finder } from "./elements.js";
import { mount } from "./mount.js";

// Show an answer in `place`. `ask` asks for another class, or one held against another; `hide` for hidden patches.
export async function showAnswer(place, told, { names, asked, ask, hide, state, more = [] }) {
  const result = element("div");
  result.innerHTML = told.html; // made by our own templates, which escape
  const explained = asked.target ?? told.predicted[0]?.index;
  const options = told.predicted.map((each) => [each.index, `${each.name} · ${each.shown}`]);
  const classes = element(
    "form", { class: "controls", "aria-label": "What is explained" },
    ...(options.length > 1 ? [chips("Explain", options, explained, (target) => ask({ ...asked, target }))] : []),
    ...(names.length > 1 ? [
      finder("another class", names, (target) => ask({ ...asked, target })),
      finder("rather than", names, (against) => ask({ ...asked, target: explained, against })),
    ] : []),
    ...(asked.against === null ? [] : [forget(() => ask({ ...asked, against: null }))]),
    ...more,
  );
  classes.addEventListener("submit", (event) => event.preventDefault());
  place.replaceChildren(classes, result);
  const host = { state: { ...state, class: 0 }, hide };
  await mount(result, told.data, host);
  return host;
}

function forget(pressed) {
  const button = element("button", { type: "button" }, "rather than nothing");
  button.addEventListener("click", pressed);
  return button;
}
