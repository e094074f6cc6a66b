// The live view in a notebook: the kernel answers what a server would.
import { element, tick } from "./elements.js";
import { showAnswer } from "./answers.js";

// Questions by number; the answer of the same number comes back.
function line(model) {
  const waiting = new Map();
  model.on("msg:custom", ({ number, told }) => {
    waiting.get(number)?.(told);
    waiting.delete(number);
  });
  return (kind, values) => new Promise((answered) => {
    const number = crypto.getRandomValues(new Uint32Array(1))[0];
    waiting.set(number, answered);
    model.send({ kind, number, values });
  });
}

function renderWidget({ model, el }) {
  const question = line(model);
  const about = model.get("about");
  const answer = element("div");
  const status = element("p", { role: "status" });
  const say = (words, bad = false) => {
    status.textContent = words;
    status.classList.toggle("bad", bad);
  };
  const show = (told, asked, state) => {
    const host = { now: { state } };
    const shown = showAnswer(answer, told, {
      names: about.classes, asked, state,
      ask: (next) => explain(next, host.now.state),
      hide: (hidden) => question("hide", hidden),
      heads: (which) => question("heads", which),
    });
    return shown.then((now) => { host.now = now; });
  };
  const explain = async (asked, state = {}) => {
    say("Asking the model …");
    const told = await question("explain", asked);
    if (told.error) say(told.error, true);
    else {
      say("");
      await show(told, asked, state);
    }
  };
  const first = model.get("asked");
  const chosen = new Set(first.methods);
  const boxes = about.methods.map(({ name, title }) => tick(title, chosen.has(name), (on) => (on ? chosen.add(name) : chosen.delete(name))));
  const button = element("button", { type: "button", class: "main" }, "Explain");
  button.addEventListener("click", () => explain({ ...first, methods: [...chosen] }));
  const root = el.attachShadow({ mode: "open" });
  root.append(
    element("style", {}, model.get("style")),
    element(
      "div", { class: "widget" },
      element("div", { class: "controls" }, element("details", {}, element("summary", {}, "Methods"), element("div", { class: "methods" }, ...boxes), button)),
      element("div", { class: "status" }, status), answer,
    ),
  );
  show(model.get("told"), first, {});
}

export default { render: renderWidget };
