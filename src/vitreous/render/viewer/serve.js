// The page of the server: a picture comes in, questions go out, answers are shown, one for each model.
import { element } from "./elements.js";
import { asked } from "./asking.js";
import { showAnswer } from "./answers.js";
import { linkOf } from "./linked.js";

const find = (name) => document.getElementById(name);

function startServed(data) {
  const [form, status, bar, cancel, button] = ["ask", "status", "progress", "cancel", "explain"].map(find);
  const site = { picture: null, stop: null };
  const say = (words, bad = false) => {
    status.textContent = words;
    status.classList.toggle("bad", bad);
  };
  const busy = (stop) => {
    site.stop = stop;
    cancel.hidden = !stop;
    bar.hidden = true;
    button.disabled = !site.picture;
  };
  const step = (told) => {
    if (told.waits) say(`Waiting: ${told.waits} before this one.`);
    if (told.of === undefined) return;
    say(`${told.done} of ${told.of} forward passes`);
    bar.hidden = false;
    [bar.max, bar.value] = [told.of, told.done];
  };
  // One question at a time: a new one stops the one before.
  const question = async (words, ask) => {
    site.stop?.abort();
    const stop = new AbortController();
    busy(stop);
    say(words);
    const told = await ask(stop.signal);
    if (site.stop !== stop) return null;
    busy(null);
    if (!told) say("Cancelled.");
    else if (told.error) say(told.error, true);
    else return told;
    return null;
  };
  const take = async (address, body) => {
    const told = await question("Taking the picture …", (signal) => asked(address, body, signal));
    if (!told) return;
    site.picture = told.picture;
    await explainAll();
  };
  const explainAll = async () => {
    const given = new FormData(form);
    const models = [...new Set([given.get("model"), given.get("beside")].filter((each) => each !== null && each !== ""))];
    const places = models.map(() => element("article", { class: "answer" }));
    const link = models.length > 1 ? linkOf() : null;
    find("answers").replaceChildren();
    for (const [at, model] of models.entries()) {
      const request = {
        picture: site.picture, model: Number(model), methods: given.getAll("method"), target: null, against: null,
        trust: given.get("trust") !== null,
      };
      if (!(await explain(request, places[at], link))) return;
      find("answers").append(places[at]);
    }
  };
  const explain = async (request, place, link, state = {}) => {
    const told = await question("Asking the model …", (signal) => asked("/explain", request, signal, step));
    if (!told) return false;
    const name = data.models[request.model].name;
    place.setAttribute("aria-label", `seen by ${name}`);
    const hiding = { stop: null };
    const host = await showAnswer(place, told, {
      names: data.models[request.model].classes, asked: request, state, link, by: name,
      ask: (next) => explain(next, place, link, host.state),
      hide: (hidden) => {
        hiding.stop?.abort();
        hiding.stop = new AbortController();
        return asked("/hide", { result: told.result, ...hidden }, hiding.stop.signal);
      },
      heads: (which) => asked("/heads", { result: told.result, ...which }, new AbortController().signal),
      more: [element("a", { href: `/results/${told.result}/report.html`, download: "report.html" }, "Download this as a report")],
    });
    say(`Explained, as seen by ${name}.`);
    return true;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (site.picture) explainAll();
    else say("Choose a picture first.", true);
  });
  cancel.addEventListener("click", () => site.stop?.abort());
  listenForPictures(take);
  button.disabled = true;
  find("ways").textContent = "Drop a picture anywhere, paste one, or choose a file";
  for (const only of ["live", "beside"]) find(only)?.removeAttribute("hidden");
}

function listenForPictures(take) {
  const give = document.querySelector(".give");
  const input = give.querySelector("input");
  const first = (files) => [...(files ?? [])][0];
  const send = (file) => file && take("/pictures", file);
  input.addEventListener("change", () => send(first(input.files)));
  for (const each of give.querySelectorAll("button")) {
    each.addEventListener("click", (event) => {
      event.preventDefault(); // without scripts it sends the form
      take(`/samples/${each.value}`, {});
    });
  }
  document.addEventListener("paste", (event) => send(first(event.clipboardData?.files)));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    give.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? give.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    give.classList.remove("over");
    send(first(event.dataTransfer?.files));
  });
}

startServed(JSON.parse(find("data").textContent));
