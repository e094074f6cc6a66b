// Elements in few words.

const drawing = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(drawing, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// A slider under its name; `told` says its value in words.
export function slider(name, range, value, told, changed) {
  const shown = element("span", {}, told(value));
  const input = element("input", { type: "range", min: range[0], max: range[1], step: range[2] ?? 1 });
  input.value = value;
  input.setAttribute("aria-valuetext", told(value));
  input.addEventListener("input", () => {
    shown.textContent = told(Number(input.value));
    input.setAttribute("aria-valuetext", told(Number(input.value)));
    changed(Number(input.value));
  });
  return element("label", {}, `${name}: `, shown, input);
}

// A box to tick beside its name.
export function tick(name, on, changed) {
  const input = element("input", { type: "checkbox" });
  input.checked = on;
  input.addEventListener("change", () => changed(input.checked));
  return element("label", { class: "tick" }, input, name);
}

// A list to choose from, under its name: [value, words] each.
export function choice(name, options, value, changed) {
  const select = element("select", {}, ...options.map(([key, words]) => element("option", { value: key }, words)));
  select.value = value;
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, `${name} `, select);
}

let finders = 0; // each has a list of its own

// A field that finds one of many names, which the browser suggests.
export function finder(name, names, found) {
  finders += 1;
  const list = element("datalist", { id: `names-${finders}` }, ...names.map((each) => element("option", { value: each })));
  const input = element("input", { type: "search", list: list.id, autocomplete: "off", placeholder: "a class by name" });
  const missing = element("span", { class: "bad", "aria-live": "polite" });
  input.addEventListener("change", () => {
    const wanted = input.value.trim().toLowerCase();
    const exact = names.findIndex((each) => each.toLowerCase() === wanted);
    const at = exact < 0 && wanted ? names.findIndex((each) => each.toLowerCase().includes(wanted)) : exact;
    missing.textContent = wanted && at < 0 ? "no such class" : "";
    if (at >= 0) found(at);
  });
  return element("label", {}, `${name} `, input, missing, list);
}

// Buttons of which one is pressed: [value, words] each.
export function chips(name, options, value, changed) {
  const buttons = options.map(([key, words]) => {
    const button = element("button", { type: "button", "aria-pressed": String(key === value) }, words);
    button.addEventListener("click", () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      changed(key);
    });
    return button;
  });
  return element("fieldset", {}, element("legend", {}, name), ...buttons);
}
