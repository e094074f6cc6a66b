// Patches hidden by hand: what the model then says, beside what each map foretold. Only where a model is at hand.
import { element, shape, tick } from "./elements.js";

export function fillHiding(root, data, page, host) {
  const words = element("p", { "aria-live": "polite" }, "Hide some patches, and see what the model then says.");
  const found = element("div", { class: "figures" });
  const more = element("details", { hidden: true }, element("summary", {}, "More"), found);
  more.open = !matchMedia("(max-width: 36rem)").matches; // there the box is a slim bar
  const again = element("button", { type: "button" }, "Show all again");
  const hiding = { on: false };
  const key = (patch) => `${patch.row},${patch.column}`;
  const ask = async () => {
    page.remark();
    found.replaceChildren();
    more.hidden = true;
    if (!page.hidden.size) {
      words.textContent = "No patch is hidden.";
      return;
    }
    const many = page.hidden.size === 1 ? "1 patch" : `${page.hidden.size} patches`;
    words.textContent = `${many} hidden; asking the model …`;
    const patches = [...page.hidden.values()].map(({ row, column }) => row * page.grid.columns + column);
    const told = await host.hide({ rows: page.grid.rows, columns: page.grid.columns, patches, which: page.state.class });
    if (told) {
      words.textContent = told.error ?? `${many} of ${page.grid.rows * page.grid.columns} hidden. The model then says: ${told.said[0].name}, ${told.said[0].shown}.`;
      if (!told.error) found.replaceChildren(bars(told.said), beside(told));
      more.hidden = Boolean(told.error);
    }
  };
  page.press = (patch) => {
    page.choose(patch);
    if (!hiding.on) return;
    if (!page.hidden.delete(key(patch))) page.hidden.set(key(patch), patch);
    ask();
  };
  again.addEventListener("click", () => {
    page.hidden.clear();
    ask();
  });
  const place = element(
    "section", { class: "controls hiding", "aria-label": "Hide patches", tabindex: 0 },
    tick(element("span", {}, "Hide patches by click", element("span", { class: "keys" }, ", or by Enter")), false, (on) => { hiding.on = on; }), again, words, more,
  );
  root.querySelector(".panels").after(place);
}

// The most probable classes, as in the head of the page.
export function bars(said) {
  return element("ul", { class: "said" }, ...said.map(({ name, shown, share }) => element(
    "li", {}, share === null ? "" : shape(
      "svg", { class: "share", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      shape("rect", { class: "empty", width: 100, height: 10 }), shape("rect", { class: "full", width: 100 * share, height: 10 }),
    ), element("span", {}, name), " ", element("b", {}, shown),
  )));
}

function beside(told) {
  const share = told.of.startsWith("probability");
  const number = (value) => (value === null ? "cannot say" : share ? `${(100 * value).toFixed(1)}%` : value.toPrecision(4));
  const rows = told.foretold.map((each) => element(
    "tr", {}, element("th", { scope: "row" }, each.map), element("td", {}, number(each.value)),
  ));
  const table = element(
    "table", {},
    element("caption", {}, `${told.of}: ${number(told.measured)} measured, ${number(told.before)} before`),
    element("thead", {}, element("tr", {}, ...["map", "foretold"].map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows),
  );
  const about = "Foretold: what would be left if each patch mattered in proportion to its value on the map.";
  return element("div", {}, table, element("p", { class: "dim" }, about));
}
