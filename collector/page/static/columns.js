// Which fields are columns of the list: chosen from the fields that events have, and kept in this browser.

import { clipText, findValue, isObject, make, makeVisible, writeValue } from "./values.js";

const KEPT = "eventpub.columns";
const DEFAULT = ["@event", "user.id", "@key"];
const LABELS = new Map([
  ["@event", "event"], ["@key", "key"], ["@batch_id", "batch"], ["@version", "version"],
]);
const MAX_FIELDS = 500;
const MAX_DEPTH = 4;
const CELL_CHARACTERS = 200;

const fields = new Map(); // path -> how often it was seen
let chosen = readChosen();

function readChosen() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    if (Array.isArray(kept) && kept.length && kept.every((path) => typeof path === "string")) return kept;
  } catch { /* not ours, or not allowed */ }
  return [...DEFAULT];
}

export const getColumns = () => chosen;
export const nameColumn = (path) => LABELS.get(path) ?? path;

export function setColumns(paths) {
  chosen = paths.length ? paths : [...DEFAULT];
  try {
    localStorage.setItem(KEPT, JSON.stringify(chosen));
  } catch { /* it lasts until the page is closed */ }
}

export function toggleColumn(path) {
  setColumns(chosen.includes(path) ? chosen.filter((other) => other !== path) : [...chosen, path]);
}

/** Notes which fields an event has. */
export function noteFields(event, prefix = "", depth = 0) {
  if (!isObject(event) || Array.isArray(event)) return;
  for (const [name, value] of Object.entries(event)) {
    const path = prefix + name;
    if (isObject(value) && !Array.isArray(value) && depth < MAX_DEPTH) noteFields(value, `${path}.`, depth + 1);
    else if (fields.has(path) || fields.size < MAX_FIELDS) fields.set(path, (fields.get(path) ?? 0) + 1);
  }
}

/** Returns what a cell shows. */
export function cellText(entry, path) {
  const value = path === "@event" ? nameEvent(entry)
    : path[0] === "@" ? entry.parsed[path.slice(1)]
    : findValue(entry.event, path);
  return makeVisible(clipText(writeValue(value), CELL_CHARACTERS));
}

/** Returns what an event is called: source, noun and action, or its name, or what it begins with. */
export function nameEvent(entry) {
  const event = entry.event;
  const parts = ["source", "noun", "action"].map((part) => findValue(event, part)).filter((part) => typeof part === "string" && part);
  if (parts.length) return parts.join(" · ");
  for (const part of ["name", "event", "type"]) {
    const name = findValue(event, part);
    if (typeof name === "string" && name) return name;
  }
  return isObject(event) ? JSON.stringify(event) : entry.parsed.raw || "(no event)";
}

/** Fills the dialog with the fields whose names hold a text. */
export function fillChoices(container, search, onChange) {
  const wanted = search.trim().toLowerCase();
  const known = [...fields.keys()].filter((path) => !chosen.includes(path) && !LABELS.has(path)).sort();
  const unchosen = [...LABELS.keys()].filter((path) => !chosen.includes(path));
  const paths = [...chosen, ...unchosen, ...known].filter((path) => nameColumn(path).toLowerCase().includes(wanted));
  if (wanted && !paths.includes(search.trim())) paths.push(search.trim());
  container.replaceChildren(...paths.slice(0, 300).map((path) => {
    const box = make("input");
    box.type = "checkbox";
    box.checked = chosen.includes(path);
    box.addEventListener("change", () => { toggleColumn(path); onChange(); });
    const label = make("span", path[0] === "@" ? "own" : "", makeVisible(nameColumn(path)));
    return make("label", "", box, label, make("small", "", fields.has(path) ? `${fields.get(path)} ×` : ""));
  }));
}
