// The open event: its fields with the words of its schema, its JSON, and what can be copied of it.

import { getColumns, nameEvent } from "./columns.js";
import { copyText, writeFind, writeSend } from "./copying.js";
import { writeWord } from "./filter.js";
import { shortenReason, writeTime } from "./list.js";
import { clipText, findValue, formatJson, formatNumber, isObject, make, makeButton, makeVisible, ownValue, splitPath, writeValue } from "./values.js";

const VALUE_CHARACTERS = 500;
const JSON_CHARACTERS = 20_000;
const MAX_LINES = 500;
const MAX_DEPTH = 12;
const ABOUT = ["key", "version", "batch_id", "attempt", "status", "error", "cause"];

const schemas = new Map(); // key -> promise of the words of its schema

async function findSchema(entry) {
  const { key, version } = entry.parsed;
  if (version !== "2") return null;
  if (!schemas.has(key)) {
    schemas.set(key, fetch(`/micro/schema?key=${encodeURIComponent(key)}`).then((answer) => answer.json()).catch(() => null));
  }
  return schemas.get(key);
}

export class Detail {
  #shows = "fields";

  constructor(element, { collector, onClose, onFilter, onColumn, say }) {
    this.element = element;
    Object.assign(this, { collector, onClose, onFilter, onColumn, say });
  }

  async open(entry) {
    this.entry = entry;
    const schema = await findSchema(entry);
    if (this.entry !== entry) return;
    this.element.hidden = false;
    this.element.scrollTop = 0;
    this.element.replaceChildren(
      this.#makeTitle(entry), this.#makeFault(entry), this.#makeAbout(entry), this.#makeButtons(entry),
      this.#shows === "json" ? makeJson(entry) : this.#makeFields(entry, schema),
    );
  }

  close() {
    this.entry = null;
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  async copy(text, what) {
    await copyText(text);
    this.say(`Copied ${what}`);
  }

  copyJson() {
    if (this.entry) this.copy(this.entry.json, "the event as JSON");
  }

  #makeTitle(entry) {
    const title = make("h2", "", make("bdi", "", makeVisible(clipText(nameEvent(entry), 120))));
    const close = makeButton("×", "icon close", this.onClose, "Close (Esc)");
    close.setAttribute("aria-label", "Close");
    return make("header", entry.isStored ? "stored" : "refused", make("span", "badge", entry.isStored ? "stored" : "refused"), title, close);
  }

  #makeFault(entry) {
    if (entry.isStored) return "";
    const { field, reason = "" } = entry.parsed;
    const fault = make("div", "fault");
    if (field) {
      const value = findValue(entry.event, field);
      fault.append(make("p", "", make("b", "", makeVisible(clipText(field, 200))), " ",
        ...(value === undefined ? [] : [make("code", "", makeVisible(clipText(JSON.stringify(value), 200)))])));
    }
    fault.append(make("p", "", makeVisible(clipText(shortenReason(field, reason), 2000))));
    return fault;
  }

  #makeAbout(entry) {
    const { parsed } = entry;
    const date = new Date(parsed.received_at * 1000);
    const list = make("dl", "about", make("dt", "", "received"), make("dd", "", `${date.toLocaleDateString("en-CA")} ${writeTime(parsed.received_at)}`));
    for (const name of ABOUT) {
      const value = parsed[name];
      if (value === undefined || value === null || value === "-" || value === "") continue;
      list.append(make("dt", "", name.replace("_", " ")), make("dd", "", makeVisible(clipText(writeValue(value), 200))));
    }
    return list;
  }

  #makeButtons(entry) {
    const show = (kind) => () => { this.#shows = kind; this.open(entry); };
    const tab = (text, kind) => {
      const button = makeButton(text, "", show(kind));
      button.setAttribute("aria-pressed", this.#shows === kind);
      return button;
    };
    return make("div", "buttons",
      make("div", "tabs", tab("Fields", "fields"), tab("JSON", "json")),
      makeButton("Copy JSON", "copy-json", () => this.copyJson(), "The event as it was stored, or as it came (c)"),
      makeButton("curl", "copy-send", () => this.copy(writeSend(entry, this.collector()), "a command that sends it again"), "A command that signs the event and sends it again; it takes the secret from EVENTPUB_SECRET"),
      makeButton("find", "copy-find", () => this.copy(writeFind(entry), "a command that finds it"), "A command that finds the event here, for tests; it needs no key"));
  }

  #makeFields(entry, schema) {
    const fields = make("div", "fields");
    const event = entry.event;
    if (!isObject(event)) {
      fields.append(entry.json ? makeRaw(entry.json) : make("p", "dim", "The collector did not keep what came: it is not known who wrote it."));
      return fields;
    }
    const struct = schema && ownValue(schema.structs, schema.root);
    if (struct?.doc) fields.append(makeAbstract(schema.root, struct.doc));
    const fault = entry.parsed.field ? splitPath(entry.parsed.field).join("\n") : null;
    this.#addFields(fields, entry, event, { schema, struct, fault, steps: [], left: { lines: MAX_LINES } });
    return fields;
  }

  #addFields(fields, entry, holder, at) {
    for (const [name, value] of Object.entries(holder)) {
      if (at.left.lines-- <= 0) {
        if (at.left.lines === -1) fields.append(make("p", "dim", "There are more fields; JSON has all of them."));
        return;
      }
      const steps = [...at.steps, name];
      const known = at.struct && ownValue(at.struct.fields, name);
      const isOpen = isObject(value) && Object.keys(value).length > 0 && steps.length < MAX_DEPTH;
      fields.append(this.#makeField(entry, { steps, value, isOpen, known, hasStruct: Boolean(at.struct), isFault: steps.join("\n") === at.fault }));
      if (isOpen) {
        const inner = known?.struct ?? (Array.isArray(holder) ? at.inner : undefined);
        const struct = inner && at.schema ? ownValue(at.schema.structs, inner) : null;
        const isStruct = !Array.isArray(value) && !known?.type.includes("<");
        this.#addFields(fields, entry, value, { ...at, steps, struct: isStruct ? struct : null, inner });
      }
    }
  }

  #makeField(entry, { steps, value, isOpen, known, hasStruct, isFault }) {
    const path = steps.join(".");
    const line = make("div", `field${isFault ? " fault" : ""}`);
    line.style.setProperty("--depth", Math.min(steps.length - 1, 6));
    const name = make("div", "name", make("bdi", "", makeVisible(clipText(steps.at(-1), 120))));
    name.append(make("small", "", known?.type ?? (hasStruct ? "not in the schema" : kindOf(value))));
    line.append(name);
    if (!isOpen) {
      line.append(makeValue(value), this.#makeTools(path, value));
    }
    if (known?.doc) line.append(makeWords(make("p", "words"), known.doc));
    if (isFault) line.append(make("p", "why", makeVisible(clipText(shortenReason(entry.parsed.field, entry.parsed.reason ?? ""), 500))));
    return line;
  }

  #makeTools(path, value) {
    const isColumn = getColumns().includes(path);
    return make("div", "field-tools",
      makeButton("filter", "", () => this.onFilter(writeWord(path, value)), "Show only events with this value"),
      makeButton(isColumn ? "− column" : "+ column", "", () => { this.onColumn(path); this.open(this.entry); }, "Show the field in the list"));
  }
}

const kindOf = (value) => (value === null ? "null" : Array.isArray(value) ? "list" : typeof value);

function makeValue(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const shown = make("div", `value ${kindOf(value)}`);
  shown.dir = "auto";
  if (text.length <= VALUE_CHARACTERS) {
    shown.append(makeVisible(text) || make("i", "", "empty"));
    return shown;
  }
  const all = makeButton(`all ${formatNumber(text.length)} characters`, "all", () => shown.replaceChildren(makeVisible(text)));
  shown.append(makeVisible(clipText(text, VALUE_CHARACTERS)), all);
  return shown;
}

/** Returns what a schema says of itself: its first sentence, and the rest for who opens it. */
function makeAbstract(name, text) {
  const [first] = text.split(/(?<=\.) /, 1);
  const rest = text.slice(first.length).trim();
  const summary = makeWords(make("summary", "", make("b", "", name), " "), first);
  return make("details", "words", summary, makeWords(make("p"), rest));
}

/** Adds words in which `code` is marked as in Markdown. */
function makeWords(element, text) {
  text.split("`").forEach((piece, index) => element.append(index % 2 ? make("code", "", piece) : piece));
  return element;
}

function makeRaw(text) {
  return make("pre", "json", makeVisible(clipText(text, JSON_CHARACTERS)).replaceAll("⏎", "\n"));
}

function makeJson(entry) {
  if (!entry.json) return make("p", "dim", "There is no event.");
  const pieces = formatJson(clipText(entry.json, JSON_CHARACTERS));
  const shown = make("pre", "json", ...pieces.map(([kind, text]) => (kind ? make("span", kind, makeVisible(text)) : text)));
  const note = entry.json.length > JSON_CHARACTERS
    ? make("p", "dim", `The first ${formatNumber(JSON_CHARACTERS)} of ${formatNumber(entry.json.length)} characters; Copy JSON has all of them.`) : "";
  return make("div", "", shown, note);
}
