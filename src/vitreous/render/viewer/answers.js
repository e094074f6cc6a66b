// What came back about a picture, put into an open page: its classes to choose from, and the viewer.
import { element, chips, finder } from "./elements.js";
import { mount } from "./mount.js";

// Show an answer in `place`. `ask` asks for another class, or one held against another; `hide` for hidden patches, `heads`
// for single heads. Where several models see one picture, `link` makes their answers rows that follow each other, and
// `by` tells them apart.
export async function showAnswer(place, told, { names, asked, ask, hide, heads, state, more = [], link = null, by = "" }) {
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
  place.replaceChildren(...(link ? [element("p", { class: "seen-by" }, by)] : []), classes, result);
  const host = { state: { ...state, class: 0 }, hide, heads };
  const page = await mount(result, told.data, host);
  if (link) {
    link.join(page, result, told.data.box);
    fold([...result.querySelectorAll(":scope > .tab > section")].slice(1), "More on this model's answer");
    fold([...result.querySelectorAll(":scope > section:not(.tab)")], "Where this comes from");
    for (const each of place.querySelectorAll("form[aria-label], section[aria-label]")) each.ariaLabel += `, ${by}`;
  }
  return host;
}

// What is not the row itself waits until it is asked for, so that rows stand below each other.
function fold(parts, name) {
  const folded = element("details", {}, element("summary", {}, name));
  parts[0].before(folded);
  folded.append(...parts);
}

function forget(pressed) {
  const button = element("button", { type: "button" }, "rather than nothing");
  button.addEventListener("click", pressed);
  return button;
}
