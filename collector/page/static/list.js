// The list: rows only for what is on the screen, however many events there are.

import { cellText, getColumns, nameColumn, nameEvent } from "./columns.js";
import { clipText, findValue, formatNumber, make, makeVisible, writeValue } from "./values.js";

const SPARE_ROWS = 6;
const REASON_CHARACTERS = 300;
const CALM_MS = 100; // while events come, the list is drawn ten times a second
const narrow = matchMedia("(max-width: 640px)");

export class List {
  #view;
  #rows = [];
  #kind = 0; // changes when all rows must be written anew
  #later = 0; // newest events that are not shown, since the user looks at others
  #isDrawn = true;
  #drawnAt = 0;
  #timer = 0;
  selected = null;

  constructor(view, { scroller, rows, head, newer, onOpen }) {
    this.#view = view;
    Object.assign(this, { scroller, rows, head, newer, onOpen });
    scroller.addEventListener("scroll", () => {
      if (scroller.scrollTop < 2) this.#later = 0;
      this.draw();
    }, { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
    narrow.addEventListener("change", () => this.redraw());
    newer.addEventListener("click", () => this.goToTop());
    rows.addEventListener("click", (event) => {
      const row = event.target.closest("[role=row]");
      if (row?.entry) this.select(row.entry, true);
    });
  }

  get rowHeight() {
    return narrow.matches ? 56 : 34;
  }

  get length() {
    return Math.max(0, this.#view.length - this.#later);
  }

  /** Tells that entries came on top: they push the others down only where the user sees the top. */
  noteAdded(count) {
    if (this.scroller.scrollTop >= 2) this.#later += count;
    if (this.#timer) return;
    const wait = this.#drawnAt + CALM_MS - performance.now();
    if (wait <= 0) this.draw();
    else this.#timer = setTimeout(() => { this.#timer = 0; this.draw(); }, wait);
  }

  goToTop() {
    this.#later = 0;
    this.scroller.scrollTop = 0;
    this.draw();
  }

  /** Draws everything anew, from the top: there is another filter, or there are other columns. */
  redraw({ toTop = false } = {}) {
    this.#kind += 1;
    if (toTop) this.goToTop();
    this.draw();
  }

  /** Draws with the next frame, once. */
  draw() {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    requestAnimationFrame(() => {
      this.#isDrawn = true;
      this.#drawNow();
    });
  }

  select(entry, isOpened) {
    this.selected = entry;
    this.onOpen(entry, isOpened);
    this.redraw();
  }

  /** Moves the selection by some rows, and keeps it on the screen. */
  move(steps, isOpened) {
    if (!this.length) return;
    const now = this.selected ? this.#indexOf(this.selected) : -1;
    const index = Math.min(this.length - 1, Math.max(0, now < 0 ? 0 : now + steps));
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.scroller.scrollTop = top + this.rowHeight - clientHeight;
    this.select(this.#at(index), isOpened);
  }

  #at(index) {
    return this.#view.at(index + this.#later);
  }

  #indexOf(entry) {
    let low = 0;
    let high = this.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const id = this.#at(middle).id;
      if (id === entry.id) return middle;
      if (id > entry.id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  #drawNow() {
    this.#drawnAt = performance.now();
    const height = this.rowHeight;
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor(scrollTop / height) - SPARE_ROWS);
    const last = Math.min(this.length, Math.ceil((scrollTop + clientHeight) / height) + SPARE_ROWS);
    const needed = Math.ceil(clientHeight / height) + 2 * SPARE_ROWS + 1;
    this.rows.style.height = `${this.length * height}px`;
    this.scroller.setAttribute("aria-rowcount", this.length);
    this.#drawHead();
    while (this.#rows.length < needed) {
      const row = make("div", "row");
      row.setAttribute("role", "row");
      this.#rows.push(row);
      this.rows.append(row);
    }
    const kind = `${this.#kind}/${height}`;
    const used = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this.#rows[index % this.#rows.length];
      used.add(row);
      const entry = this.#at(index);
      if (row.index !== index || row.kind !== kind) row.style.transform = `translateY(${index * height}px)`;
      if (row.entry !== entry || row.kind !== kind) this.#write(row, entry);
      row.setAttribute("aria-rowindex", index + 1);
      row.hidden = false;
      Object.assign(row, { index, kind });
    }
    for (const row of this.#rows) if (!used.has(row)) Object.assign(row, { hidden: true, entry: null });
    this.newer.hidden = !this.#later;
    if (this.#later) this.newer.textContent = `↑ ${formatNumber(this.#later)} newer`;
  }

  #drawHead() {
    this.head.style.marginRight = `${this.scroller.offsetWidth - this.scroller.clientWidth}px`; // the scroll bar
    const names = ["time", ...getColumns().map(nameColumn)];
    const text = names.join("\n");
    if (this.head.dataset.text === text) return;
    this.head.dataset.text = text;
    this.head.style.gridTemplateColumns = makeTemplate();
    this.head.replaceChildren(make("span"), ...names.map((name) => make("span", "", makeVisible(clipText(name, 40)))));
  }

  #write(row, entry) {
    const isSelected = this.selected === entry;
    row.entry = entry;
    row.className = `row ${entry.isStored ? "stored" : "refused"}${isSelected ? " selected" : ""}`;
    row.setAttribute("aria-selected", isSelected);
    const time = makeCell("time", writeTime(entry.parsed.received_at));
    const mark = makeCell("mark", entry.isStored ? "●" : "▲");
    mark.title = entry.isStored ? "stored" : "refused";
    if (narrow.matches) {
      const second = entry.isStored
        ? getColumns().filter((path) => path !== "@event").map((path) => cellText(entry, path)).filter(Boolean).join("  ·  ")
        : "";
      row.style.gridTemplateColumns = "";
      row.replaceChildren(mark, makeCell("event", makeVisible(clipText(nameEvent(entry), 200))), time,
        entry.isStored ? makeCell("second", second) : makeReason(entry));
      return;
    }
    row.style.gridTemplateColumns = makeTemplate();
    if (entry.isStored) {
      row.replaceChildren(mark, time, ...getColumns().map((path) =>
        makeCell(path === "@event" ? "event" : "", cellText(entry, path))));
    } else {
      row.replaceChildren(mark, time, makeCell("event", makeVisible(clipText(nameEvent(entry), 200))), makeReason(entry));
    }
  }
}

const makeTemplate = () => `18px 96px ${getColumns().map((path) => (path === "@event" ? "minmax(160px, 2fr)" : "minmax(80px, 1fr)")).join(" ")}`;

function makeCell(kind, text) {
  const cell = make("span", kind, text);
  cell.setAttribute("role", "gridcell");
  cell.dir = "auto";
  return cell;
}

/** The field, its value and why it was refused, in a cell that takes the rest of the row. */
function makeReason(entry) {
  const { field, reason = "", error = "" } = entry.parsed;
  const cell = makeCell("reason", "");
  if (field) {
    const value = findValue(entry.event, field);
    cell.append(make("b", "", makeVisible(clipText(field, 80))), " ");
    if (value !== undefined) cell.append(make("code", "", makeVisible(clipText(JSON.stringify(value), 80))), " ");
  }
  cell.append(makeVisible(clipText(shortenReason(field, reason) || error, REASON_CHARACTERS)));
  return cell;
}

/** Returns a reason without the field that it begins with. */
export function shortenReason(field, reason) {
  return field && reason.startsWith(`${field}: `) ? reason.slice(field.length + 2) : reason;
}

/** Returns the time of day of seconds since 1970, with milliseconds. */
export function writeTime(seconds) {
  const date = new Date(seconds * 1000);
  const digits = (number, width) => String(number).padStart(width, "0");
  return `${[date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => digits(part, 2)).join(":")}.${digits(date.getMilliseconds(), 3)}`;
}
