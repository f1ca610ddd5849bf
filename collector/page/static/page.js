// Puts the page together: the stream of events, what is shown of them, and what keys and buttons do.

import { fillChoices, noteFields, setColumns, toggleColumn } from "./columns.js";
import { drawCounts } from "./counts.js";
import { Detail } from "./detail.js";
import { Entry, Newest } from "./entries.js";
import { makeFilter } from "./filter.js";
import { Incoming } from "./incoming.js";
import { List } from "./list.js";
import { Plot } from "./plot.js";
import { formatNumber } from "./values.js";
import { View } from "./view.js";

const NOTED_PER_STEP = 2; // events whose fields are noted for the choice of columns
const SEARCH_DELAY_MS = 120;
const RETRY_MS = 3000;
const THEME = "eventpub.theme";
const THEMES = ["", "light", "dark"];

const $ = (id) => document.getElementById(id);
const stored = new Newest((entry) => entry.line.length);
const refused = new Newest((entry) => entry.line.length);
const view = new View(stored, refused, () => { list.redraw(); drawState(); });
const incoming = new Incoming(take, drawState);
const state = { collector: "http://127.0.0.1:8080", outcome: "", epoch: "", missed: 0 };
const toast = { timer: 0 };

const list = new List(view, {
  scroller: $("scroller"), rows: $("rows"), head: $("head"), newer: $("newer"),
  onOpen: (entry, isOpened) => { if (isOpened || detail.entry) openEntry(entry); },
});
const detail = new Detail($("detail"), {
  collector: () => state.collector, onClose: closeEntry, onFilter: addWords, say,
  onColumn: (path) => { toggleColumn(path); list.redraw(); },
});
const colourOf = (selector) => getComputedStyle(document.querySelector(selector)).color;
const plot = new Plot($("plot"), $("plotted"), () => [colourOf(".totals .stored dt"), colourOf(".totals .refused dt")]);

// --- the stream ----------------------------------------------------------------------------------------

function connect() {
  const stream = new EventSource("/micro/stream");
  stream.addEventListener("hello", (message) => {
    const hello = JSON.parse(message.data);
    Object.assign(state, { collector: hello.collector, missed: 0 });
    stored.max = refused.max = incoming.max = hello.max_events;
    if (hello.epoch !== state.epoch) forgetAll();
    state.epoch = hello.epoch;
    setStatus("live", "live");
  });
  stream.addEventListener("events", (message) => {
    incoming.add(message.data.split("\n"));
    if (incoming.isHeld) drawState();
  });
  stream.addEventListener("gap", (message) => {
    state.missed += Number(message.data);
    say(`${formatNumber(state.missed)} events came faster than this page reads, and are not shown`);
    drawState();
  });
  stream.addEventListener("tallies", (message) => drawTallies(JSON.parse(message.data)));
  stream.addEventListener("open", () => setStatus("live", "live"));
  stream.addEventListener("error", () => {
    setStatus("lost", "reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  });
}

function take(lines) {
  const came = lines.map((line) => new Entry(line));
  for (const entry of came.slice(-NOTED_PER_STEP)) {
    noteFields(entry.event);
    entry.forget();
  }
  const good = came.filter((entry) => entry.isStored);
  const bad = came.filter((entry) => !entry.isStored);
  stored.add(good);
  refused.add(bad);
  list.noteAdded(view.add(good, bad));
}

function forgetAll() {
  stored.clear();
  refused.clear();
  incoming.clear();
  state.missed = 0;
  closeEntry();
  list.selected = null;
  applyFilter();
}

// --- what is shown -------------------------------------------------------------------------------------

function drawTallies(tallies) {
  const { stored, refused, duplicate } = tallies.totals;
  $("stored").textContent = formatNumber(stored);
  $("refused").textContent = formatNumber(refused);
  $("again").textContent = formatNumber(duplicate);
  $("rate").textContent = formatNumber(plot.show(tallies));
  document.querySelector(".totals .refused").classList.toggle("some", refused > 0);
  drawCounts($("counts"), tallies, addWords);
}

function drawState() {
  const isFiltered = Boolean($("search").value.trim() || state.outcome);
  const all = stored.length + refused.length;
  const parts = [];
  if (isFiltered) parts.push(`${formatNumber(view.length)} of ${formatNumber(all)}${view.isSearching ? " …" : ""}`);
  else if (all) parts.push(`${formatNumber(all)} events`);
  if (incoming.isHeld && incoming.length) parts.push(`${formatNumber(incoming.length)} waiting`);
  if (state.missed) parts.push(`${formatNumber(state.missed)} missed`);
  $("count").textContent = parts.join("  ·  ");
  const isEmpty = view.length === 0 && !view.isSearching;
  $("empty").hidden = !isEmpty;
  if (!isEmpty) return;
  $("empty-lead").textContent = isFiltered && all ? "No event here is like that" : "Nothing yet";
  $("empty-hint").hidden = $("empty-command").hidden = isFiltered && all > 0;
}

function setStatus(name, text) {
  $("status").dataset.state = incoming.isHeld ? "paused" : name;
  $("status").querySelector("span").textContent = incoming.isHeld ? "paused" : text;
}

function applyFilter() {
  view.filter(makeFilter($("search").value, state.outcome));
  list.redraw({ toTop: true });
  drawState();
}

function addWords(words) {
  const search = $("search");
  if (!search.value.includes(words)) search.value = `${search.value.trim()} ${words}`.trim();
  applyFilter();
  showSide(false);
}

function setOutcome(outcome) {
  state.outcome = outcome;
  for (const tab of document.querySelectorAll(".bar [role=tab]")) tab.setAttribute("aria-selected", tab.dataset.outcome === outcome);
  applyFilter();
}

function openEntry(entry) {
  $("counts").hidden = true;
  document.body.classList.add("opened");
  noteFields(entry.event);
  detail.open(entry);
}

function closeEntry() {
  detail.close();
  $("counts").hidden = false;
  document.body.classList.remove("opened");
}

function showSide(isShown) {
  document.body.classList.toggle("side", isShown);
  $("side").setAttribute("aria-expanded", isShown);
}

function setPaused(isPaused) {
  incoming.hold(isPaused);
  const button = $("pause");
  button.setAttribute("aria-pressed", isPaused);
  button.textContent = isPaused ? "Go on" : "Pause";
  setStatus("live", "live");
  drawState();
}

async function reset() {
  const answer = await fetch("/micro/reset", { method: "POST" });
  say(answer.ok ? "Forgotten here; the store keeps them" : "The collector did not answer");
}

function say(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { $("toast").hidden = true; }, 2500);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch { /* it lasts until the page is closed */ }
  plot.draw();
}

// --- buttons and keys ----------------------------------------------------------------------------------

function drawChoices() {
  fillChoices($("choices"), $("columns-search").value, () => list.redraw());
}

let searchTimer = 0;
$("search").addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(applyFilter, SEARCH_DELAY_MS);
});
for (const tab of document.querySelectorAll(".bar [role=tab]")) tab.addEventListener("click", () => setOutcome(tab.dataset.outcome));
$("pause").addEventListener("click", () => setPaused(!incoming.isHeld));
$("reset").addEventListener("click", reset);
$("side").addEventListener("click", () => showSide(!document.body.classList.contains("side")));
$("keys").addEventListener("click", () => $("help").showModal());
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "") + 1) % THEMES.length];
  setTheme(next);
  say(next ? `${next[0].toUpperCase()}${next.slice(1)}` : "As the system is");
});
$("pick").addEventListener("click", () => {
  $("columns-search").value = "";
  drawChoices();
  $("columns").showModal();
});
$("columns-search").addEventListener("input", drawChoices);
$("columns-default").addEventListener("click", () => { setColumns([]); drawChoices(); list.redraw(); });
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

const KEYS = {
  "/": () => $("search").select(),
  j: () => list.move(1), ArrowDown: () => list.move(1), k: () => list.move(-1), ArrowUp: () => list.move(-1),
  PageDown: () => list.move(20), PageUp: () => list.move(-20),
  Enter: () => list.selected && openEntry(list.selected),
  g: () => list.goToTop(), Home: () => list.goToTop(),
  1: () => setOutcome(""), 2: () => setOutcome("stored"), 3: () => setOutcome("refused"),
  p: () => setPaused(!incoming.isHeld), c: () => detail.copyJson(), x: reset, "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target instanceof HTMLInputElement;
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (detail.entry) closeEntry();
    else if ($("search").value) { $("search").value = ""; applyFilter(); }
    showSide(false);
    return;
  }
  if (isTyping && event.key === "Enter") { event.target.blur(); list.move(0); return; }
  const isOnButton = event.target instanceof HTMLButtonElement && event.key === "Enter";
  if (isTyping || isOnButton || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.draw());
try {
  document.documentElement.dataset.theme = localStorage.getItem(THEME) ?? "";
} catch { /* as the system is */ }
connect();
drawState();
