// Lines on their way from the stream to the list: with each frame only so many, however many wait.

import { Newest } from "./entries.js";

const FRAME_LINES = 1000;
const FRAME_CHARACTERS = 512 * 1024;
const FRAME_MS = 6; // leaves time to draw
const STEP_LINES = 50; // between two looks at the clock

export class Incoming {
  #lines = new Newest((line) => line.length);
  #isAsked = false;
  isHeld = false;

  /** `onTake` gets some lines, several times a frame; `onTaken` is called at the end of the frame. */
  constructor(onTake, onTaken) {
    Object.assign(this, { onTake, onTaken });
  }

  get length() {
    return this.#lines.length;
  }

  /** How many may wait; older ones would have no room in the list either. */
  set max(count) {
    this.#lines.max = count;
  }

  add(lines) {
    this.#lines.add(lines);
    this.#ask();
  }

  hold(isHeld) {
    this.isHeld = isHeld;
    this.#ask();
  }

  clear() {
    this.#lines.clear();
  }

  #ask() {
    if (this.isHeld || this.#isAsked || !this.length) return;
    this.#isAsked = true;
    requestAnimationFrame(() => {
      this.#isAsked = false;
      if (this.isHeld) return;
      this.#takeSome();
      this.onTaken();
      this.#ask();
    });
  }

  #takeSome() {
    const until = performance.now() + FRAME_MS;
    let count = 0;
    let characters = 0;
    do {
      const lines = [];
      while (lines.length < STEP_LINES && characters < FRAME_CHARACTERS && lines.length < this.length) {
        const line = this.#lines.at(lines.length);
        characters += line.length;
        lines.push(line);
      }
      this.#lines.drop(lines.length);
      count += lines.length;
      this.onTake(lines);
    } while (this.length && count < FRAME_LINES && characters < FRAME_CHARACTERS && performance.now() < until);
  }
}
