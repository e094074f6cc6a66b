// Brings a page of a picture to life.
import { readState, keepState, patchOf } from "./state.js";
import { colorTables } from "./paint.js";
import { panelsOf, show, mark, valueAt } from "./panels.js";
import { lensOf, through, listen } from "./lens.js";
import { fillControls } from "./controls.js";
import { fillScrubber } from "./trust.js";
import { relatedPanels, relate, headsFrom } from "./relations.js";
import { openedRegions, regionAt, tint } from "./regions.js";
import { fillHiding } from "./hiding.js";
import { fillWalks } from "./walks.js";
import { fillTabs } from "./tabs.js";
import { alikePanels } from "./alike.js";
import { seenPanels, listenOnTiles } from "./tiles.js";
import { told } from "./maps.js";

// Take over the still page in `root`; `data` is what the page holds for the viewer. A live page's `host` keeps the state,
// and asks the model what it says of the picture with some patches hidden, and for single heads.
export async function mount(root, data, host = null) {
  const shown = root.querySelector(".picture img");
  await Promise.all([...root.querySelectorAll("img")].map((each) => each.decode().catch(() => null)));
  const picture = shown ?? null;
  const tables = colorTables(data.palettes);
  const maps = panelsOf(root, data, picture);
  const regions = openedRegions(data.regions);
  const scrubber = root.querySelector(".scrub");
  const agreements = [...root.querySelectorAll(".agreement")];
  const reading = root.querySelector(".reading");
  const page = { state: host ? readState("", host.state) : readState(location.hash), lens: lensOf(), grid: data.grid, pointer: null, hidden: new Map() };
  page.state.class = Math.min(Math.max(0, Math.round(page.state.class)), data.classes.length - 1);
  page.heads = host && headsFrom(host, () => repaint());
  const source = picture ?? maps.find((each) => each.stage)?.canvas;
  const panels = [...maps, ...relatedPanels(root.querySelector(".related"), data, source, page), ...alikePanels(root, data, source, page), ...seenPanels(root, picture)];
  for (const panel of panels) panel.part = panel.figure.closest(".tab");
  const showTab = fillTabs(root, { set: (change) => page.set(change) });
  const markTiles = listenOnTiles(root, page);

  let waiting = false;
  const repaint = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const patch = patchOf(page.state.patch, page.grid);
      showTab(page.state.tab);
      for (const each of agreements) each.hidden = Number(each.dataset.class) !== page.state.class;
      for (const panel of panels) {
        if (panel.part?.hidden) continue;
        panel.update?.(patch);
        if (panel.relation) relate(panel, patch, page);
        panel.figure.hidden = panel.which !== null && panel.which !== page.state.class;
        if (!panel.figure.hidden) show(panel, maps, picture, tables, page.state);
        if (panel.figure.classList.contains("picture") && shownRegions()) tint(panel.canvas, shownRegions(), page.state.opacity / 150);
      }
      remark();
    });
  };
  const shownRegions = () => regions[page.state.regions - 1];
  const remark = () => {
    const patch = patchOf(page.state.patch, page.grid);
    const middle = patch && { x: (patch.column + 0.5) / page.grid.columns, y: (patch.row + 0.5) / page.grid.rows };
    const place = page.pointer ?? middle;
    for (const panel of panels) {
      if (panel.figure.hidden || panel.part?.hidden || !panel.stage) continue;
      mark(panel, panel.grid ?? page.grid, panel.marked ?? patch, page.pointer, page.state, panel.grid ? new Map() : page.hidden);
      panel.value.textContent = panel.map && place ? told(valueAt(panel, place)) : "";
    }
    markTiles(patch);
    reading.hidden = !patch;
    if (!patch) return;
    const values = maps.filter((each) => each.map && !each.figure.hidden).map((each) => `${each.name} ${told(valueAt(each, middle))}`);
    const region = shownRegions() ? `; region ${regionAt(shownRegions(), middle.x, middle.y) + 1}` : "";
    const words = `Patch in row ${patch.row + 1}, column ${patch.column + 1}: ${values.join(", ")}${region}`;
    if (reading.textContent !== words) reading.textContent = words;
  };

  page.set = (change) => {
    const old = page.state;
    page.state = { ...old, ...change };
    if (host) host.state = page.state;
    else keepState(page.state);
    if (page.state.class !== old.class) {
      if (scrubber) fillScrubber(scrubber, data, picture, page);
      fillWalks(maps, picture, page);
    }
    repaint();
  };
  page.look = (lens) => {
    page.lens = lens;
    root.classList.toggle("near", lens.zoom > 1);
    for (const panel of panels) if (panel.plane) through(lens, panel.plane);
  };
  page.point = (place) => {
    page.pointer = place;
    requestAnimationFrame(remark);
  };
  page.choose = (patch) => page.set({ patch: patch ? `${patch.row},${patch.column}` : "" });
  page.press = page.choose; // by a click, or Enter
  page.remark = remark;
  page.center = () => {
    const patch = patchOf(page.state.patch, page.grid);
    if (!patch) return { x: page.lens.x + 0.5 / page.lens.zoom, y: page.lens.y + 0.5 / page.lens.zoom };
    return { x: (patch.column + 0.5) / page.grid.columns, y: (patch.row + 0.5) / page.grid.rows };
  };

  for (const panel of panels) if (panel.stage) listen(panel.stage, page);
  fillControls(root.querySelector(".controls"), data, page);
  if (scrubber) fillScrubber(scrubber, data, picture, page);
  fillWalks(maps, picture, page);
  if (host) fillHiding(root, data, page, host);
  root.classList.add("alive");
  repaint();
  return page;
}
