// Tabs over parts that stand below each other where no script runs: by click, by arrow keys, and in the address.
import { element } from "./elements.js";

const turns = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
let numbered = 0; // each has names of its own

// Put a bar above the parts of `root`; `page.set` is told which one is chosen. Returns what shows a part and hides the others.
export function fillTabs(root, page) {
  const parts = [...root.querySelectorAll(".tab")];
  if (parts.length < 2) return () => {};
  numbered += 1;
  const buttons = parts.map((part) => {
    part.id = `part-${numbered}-${part.dataset.tab}`;
    part.setAttribute("role", "tabpanel");
    part.setAttribute("aria-labelledby", `${part.id}-tab`);
    const button = element("button", { type: "button", role: "tab", id: `${part.id}-tab`, "aria-controls": part.id }, part.dataset.title);
    button.addEventListener("click", () => page.set({ tab: part.dataset.tab }));
    return button;
  });
  const bar = element("div", { class: "tabs", role: "tablist", "aria-label": "What is shown" }, ...buttons);
  bar.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const ends = { Home: 0, End: buttons.length - 1 };
    const next = event.key in ends ? ends[event.key] : at + (turns[event.key] ?? 0);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey || !(event.key in ends || event.key in turns)) return;
    event.preventDefault();
    const to = (next + buttons.length) % buttons.length;
    buttons[to].focus();
    page.set({ tab: parts[to].dataset.tab });
  });
  parts[0].before(bar);
  return (wanted) => {
    const found = Math.max(0, parts.findIndex((part) => part.dataset.tab === wanted));
    for (const [at, part] of parts.entries()) {
      part.hidden = at !== found;
      buttons[at].setAttribute("aria-selected", String(at === found));
      buttons[at].tabIndex = at === found ? 0 : -1;
    }
  };
}
