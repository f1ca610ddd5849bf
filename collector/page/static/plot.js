// Events per second in the last three minutes: stored ones in a colour, refused ones on top in another.

import { writeTime } from "./list.js";
import { formatNumber } from "./values.js";

const SECONDS = 180;

export class Plot {
  #bySecond = new Map();
  #now = 0;
  #hovered = null;

  constructor(canvas, label, colours) {
    Object.assign(this, { canvas, label, colours });
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => {
      this.#hovered = Math.floor((event.offsetX / canvas.clientWidth) * SECONDS);
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.#hovered = null;
      this.draw();
    });
  }

  /** Takes what the collector counted; returns events in the last whole second. */
  show({ now, seconds }) {
    this.#now = Math.floor(now);
    this.#bySecond = new Map(seconds.map(([second, stored, refused]) => [second, [stored, refused]]));
    this.draw();
    const [stored, refused] = this.#bySecond.get(this.#now - 1) ?? [0, 0];
    return stored + refused;
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const brush = canvas.getContext("2d");
    brush.scale(ratio, ratio);
    const counts = Array.from({ length: SECONDS }, (_, index) => this.#bySecond.get(this.#now - SECONDS + index) ?? [0, 0]);
    const most = Math.max(1, ...counts.map(([stored, refused]) => stored + refused));
    const [storedColour, refusedColour] = this.colours();
    const step = width / SECONDS;
    const scale = (height - 6) / most;
    counts.forEach(([stored, refused], index) => {
      const left = index * step;
      const bar = Math.max(1, step - (step > 3 ? 1 : 0.5));
      const low = stored ? Math.max(1.5, stored * scale) : 0;
      const high = refused ? Math.max(2, refused * scale) : 0;
      brush.globalAlpha = this.#hovered === null || this.#hovered === index ? 1 : 0.45;
      brush.fillStyle = storedColour;
      brush.fillRect(left, height - low, bar, low);
      brush.fillStyle = refusedColour;
      brush.fillRect(left, height - low - high, bar, high);
    });
    brush.globalAlpha = 1;
    this.#say(counts, most);
  }

  #say(counts, most) {
    const total = counts.reduce((sum, [stored, refused]) => sum + stored + refused, 0);
    const at = this.#hovered === null ? null : counts[this.#hovered];
    this.label.textContent = at
      ? `${writeTime(this.#now - SECONDS + this.#hovered).slice(0, 8)}   ${formatNumber(at[0])} stored, ${formatNumber(at[1])} refused`
      : total ? `last 3 min, at most ${formatNumber(most)} a second` : "last 3 min";
    this.canvas.setAttribute("aria-label", `${formatNumber(total)} events in the last three minutes, at most ${formatNumber(most)} a second`);
  }
}
