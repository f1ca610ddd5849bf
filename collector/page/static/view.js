// The entries that a filter admits, newest first: the stored and the refused ones, merged by their ids.

const SLICE_MS = 6; // of each kind, in one frame

/** Those of one kind; a new filter goes through all of them a slice at a time. */
class Admitted {
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

  /** Takes in new entries, which are in the list by now; returns how many of them are admitted. */
  add(entries) {
    const before = this.#fresh.length;
    for (const entry of entries) if (this.#admits(entry)) this.#fresh.push(entry);
    const added = this.#fresh.length - before;
    const oldest = this.#entries.at(0)?.id ?? Infinity;
    while (this.#past.length && this.#past[this.#past.length - 1].id < oldest) this.#past.pop();
    while (this.#freshHead < this.#fresh.length && this.#fresh[this.#freshHead].id < oldest) this.#freshHead += 1;
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
    let next = this.#entries.at(this.#entries.length - 1)?.id ?? 0;
    this.isSearching = true;
    const goOn = () => {
      if (job !== this.#job) return;
      const until = performance.now() + SLICE_MS;
      const oldest = this.#entries.at(0)?.id ?? Infinity;
      for (let index = this.#find(next); next >= oldest && performance.now() < until; index -= 1) {
        const entry = this.#entries.at(index);
        if (admits(entry)) this.#past.push(entry);
        next = index ? this.#entries.at(index - 1).id : -1;
      }
      this.isSearching = next >= oldest;
      if (this.isSearching) requestAnimationFrame(goOn);
      this.onChange();
    };
    goOn();
  }

  /** Returns the index of the newest entry that is not newer than this id. */
  #find(id) {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#entries.at(middle).id <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

export class View {
  /** `stored` and `refused` are lists of all entries of a kind; `onChange` is called as a filter finds more. */
  constructor(stored, refused, onChange) {
    this.stored = new Admitted(stored, onChange);
    this.refused = new Admitted(refused, onChange);
  }

  get length() {
    return this.stored.length + this.refused.length;
  }

  get isSearching() {
    return this.stored.isSearching || this.refused.isSearching;
  }

  at(index) {
    const { stored, refused } = this;
    let low = Math.max(0, index - stored.length); // how many refused ones are newer
    let high = Math.min(index, refused.length);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (refused.at(middle).id > (stored.at(index - middle - 1)?.id ?? Infinity)) low = middle + 1;
      else high = middle;
    }
    const [one, other] = [stored.at(index - low), refused.at(low)];
    return (one?.id ?? -1) > (other?.id ?? -1) ? one : other;
  }

  /** Takes in new entries of both kinds; returns how many of them are admitted. */
  add(stored, refused) {
    return this.stored.add(stored) + this.refused.add(refused);
  }

  filter(admits) {
    this.stored.filter(admits);
    this.refused.filter(admits);
  }
}
