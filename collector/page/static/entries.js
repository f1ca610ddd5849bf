// One entry that the collector sent, and a list of the newest ones.

import { readJson } from "./values.js";

const HEAD = /^\{"id":(\d+),"outcome":"(stored|refused)"/;
const EVENT = '"event":';

/** One entry, parsed when it is first looked at. */
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

/** The newest of what came, oldest first: up to a number, and up to so many characters. */
export class Newest {
  #list = [];
  #head = 0;
  #characters = 0;
  max = 100_000;
  maxCharacters = 64 * 1024 * 1024;

  /** `measure` returns how many characters one of them has. */
  constructor(measure) {
    this.measure = measure;
  }

  get length() {
    return this.#list.length - this.#head;
  }

  at(index) {
    return this.#list[this.#head + index];
  }

  add(items) {
    for (const item of items) {
      this.#list.push(item);
      this.#characters += this.measure(item);
    }
    this.drop(this.length - this.max);
    while (this.#characters > this.maxCharacters && this.length > 1) this.drop(1);
  }

  /** Drops the oldest ones. */
  drop(count) {
    const end = this.#head + Math.min(count, this.length);
    for (; this.#head < end; this.#head += 1) {
      this.#characters -= this.measure(this.#list[this.#head]);
      this.#list[this.#head] = undefined; // the rest of the list may stay for a while
    }
    if (this.#head > this.max / 4 || !this.length) {
      this.#list = this.#list.slice(this.#head);
      this.#head = 0;
    }
  }

  clear() {
    this.drop(this.length);
  }
}
