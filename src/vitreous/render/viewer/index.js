// The list of pictures, by class, by trust, by error.
import { slider, choice } from "./elements.js";

function startIndex(form, list, count) {
  const cards = [...list.children];
  const wanted = { kind: "", trust: 0, state: "" };
  const filter = () => {
    let shown = 0;
    for (const card of cards) {
      const error = card.dataset.error === "1";
      const trusted = card.dataset.trust !== "" && Number(card.dataset.trust) >= wanted.trust / 100;
      card.hidden =
        (wanted.kind !== "" && !JSON.parse(card.dataset.kinds ?? "[]").includes(wanted.kind)) ||
        (wanted.trust > 0 && !trusted) ||
        (wanted.state !== "" && error !== (wanted.state === "bad"));
      shown += card.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${cards.length} pictures`;
  };
  const set = (name) => (value) => {
    wanted[name] = value;
    filter();
  };
  const kinds = JSON.parse(list.dataset.kinds);
  if (kinds.length > 1) form.append(choice("Class", [["", "all"], ...kinds.map((each) => [each, each])], "", set("kind")));
  if (list.dataset.measured === "1") {
    const told = (value) => (value ? `above ${value}% of random orders` : "any");
    form.append(slider("Best map", [0, 100, 5], 0, told, set("trust")));
  }
  if (cards.some((each) => each.dataset.error === "1")) {
    form.append(choice("Pictures", [["", "all"], ["good", "explained"], ["bad", "with an error"]], "", set("state")));
  }
  form.hidden = !form.children.length;
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}

startIndex(document.getElementById("filters"), document.querySelector(".cards"), document.getElementById("count"));
