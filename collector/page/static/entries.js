// The entries that the collector sent: the last so many of them, and those among them that a filter admits.

import { readJson } from "./values.js";

const HEAD = /^\{"id":(\d+),"outcome":"(stored|refused)"/;
const EVENT = '"event":';
const SLICE_MS = 8;

/** One entry, parsed when somebody looks at it. */
export class Entry {
  #parsed;

  constructor(line) {
    const head = HEAD.exec(line);
    this.line = line;
    this.id = Number(head[1]);
    this.isStored = head[2] === "stored";
  }

  get parsed() {
    if (this.#parsed === undefined) {
      try {
        this.#parsed = readJson(this.line);
      } catch {
        this.#parsed = { event: null, reason: "this page cannot read the event" };
      }
    }
    return this.#parsed;
  }

  get event() {
    return this.parsed.event;
  }

  /** The event as JSON, digit for digit; as it came, if it was refused. */
  get json() {
    return this.isStored ? this.line.slice(this.line.indexOf(EVENT) + EVENT.length, -1) : this.parsed.raw ?? "";
  }

  /** What a search looks at. */
  get searched() {
    return this.isStored ? this.line.slice(this.line.indexOf(EVENT)) : this.line;
  }

  /** Let go of what was parsed. */
  forget() {
    this.#parsed = undefined;
  }
}

/** The newest entries, oldest first. */
export class Entries {
  #list = [];
  #head = 0;
  max = 100_000;

  get length() {
    return this.#list.length - this.#head;
  }

  at(index) {
    return this.#list[this.#head + index];
  }

  /** Adds entries; returns the id of the oldest that is left. */
  add(entries) {
    for (const entry of entries) this.#list.push(entry);
    this.#head += Math.max(0, this.length - this.max);
    if (this.#head > this.max / 4) {
      this.#list = this.#list.slice(this.#head);
      this.#head = 0;
    }
    return this.at(0)?.id ?? Infinity;
  }

  clear() {
    this.#list = [];
    this.#head = 0;
  }
}

/** The entries that a filter admits, newest first; a new filter goes through all of them a slice at a time. */
export class View {
  #entries;
  #admits = () => true;
  #fresh = []; // came since the filter is there, oldest first
  #freshHead = 0;
  #past = []; // from before, newest first
  #job = 0;
  isSearching = false;

  constructor(entries, onChange) {
    this.#entries = entries;
    this.onChange = onChange;
  }

  get length() {
    return this.#fresh.length - this.#freshHead + this.#past.length;
  }

  at(index) {
    const fresh = this.#fresh.length - this.#freshHead;
    return index < fresh ? this.#fresh[this.#fresh.length - 1 - index] : this.#past[index - fresh];
  }

  /** Takes new entries in; returns how many of them are admitted. */
  add(entries, oldestId) {
    const before = this.#fresh.length;
    for (const entry of entries) if (this.#admits(entry)) this.#fresh.push(entry);
    const added = this.#fresh.length - before;
    while (this.#past.length && this.#past[this.#past.length - 1].id < oldestId) this.#past.pop();
    while (this.#freshHead < this.#fresh.length && this.#fresh[this.#freshHead].id < oldestId) this.#freshHead += 1;
    if (this.#freshHead > 20_000) {
      this.#fresh = this.#fresh.slice(this.#freshHead);
      this.#freshHead = 0;
    }
    return added;
  }

  filter(admits) {
    this.#admits = admits;
    this.#fresh = [];
    this.#freshHead = 0;
    this.#past = [];
    const job = ++this.#job;
    let next = this.#entries.length ? this.#entries.at(this.#entries.length - 1).id : 0;
    this.isSearching = true;
    const goOn = () => {
      if (job !== this.#job) return;
      const until = performance.now() + SLICE_MS;
      const oldest = this.#entries.length ? this.#entries.at(0).id : Infinity;
      while (next >= oldest && performance.now() < until) {
        for (let steps = 0; steps < 200 && next >= oldest; steps += 1, next -= 1) {
          const entry = this.#entries.at(this.#find(next));
          next = entry.id;
          if (admits(entry)) this.#past.push(entry);
        }
      }
      this.isSearching = next >= oldest;
      if (this.isSearching) requestAnimationFrame(goOn);
      this.onChange();
    };
    goOn();
  }

  /** Returns the index of the entry of this id, or of the next older one: some may be missing. */
  #find(id) {
    let low = 0;
    let high = this.#entries.length - 1;
    const guess = id - this.#entries.at(0).id;
    if (guess <= high && this.#entries.at(guess).id === id) return guess;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#entries.at(middle).id <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
