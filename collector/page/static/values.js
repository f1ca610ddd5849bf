// Values of events: read, found by path, and written so that no character of theirs can do anything here.

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\ufff0-\uffff\ud800-\udfff]/gu;
const STRING_OR_LONG_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[-+.eE\d]*|true|false|null|[{}[\],:]/g;
const MANY_DIGITS = /\d{16}/;

/** Returns JSON as values; a number that JavaScript cannot hold exactly becomes its text. */
export function readJson(text) {
  if (MANY_DIGITS.test(text)) {
    text = text.replace(STRING_OR_LONG_NUMBER, (found) =>
      found[0] === '"' || !MANY_DIGITS.test(found) ? found : JSON.stringify(found));
  }
  return JSON.parse(text);
}

export function isObject(value) {
  return typeof value === "object" && value !== null;
}

/** Returns the value of a field, which may be called __proto__; undefined if there is none. */
export function ownValue(holder, name) {
  return isObject(holder) && Object.hasOwn(holder, name) ? holder[name] : undefined;
}

/** Returns the value at a path such as user.id or items[0].price; undefined if there is none. */
export function findValue(event, path) {
  const whole = ownValue(event, path);
  if (whole !== undefined) return whole;
  let place = event;
  for (const step of splitPath(path)) place = ownValue(place, step);
  return place;
}

export function splitPath(path) {
  return path.replace(/\[(?:'([^']*)'|"([^"]*)"|([^\]]*))\]/g, (_, one, two, three) => `.${one ?? two ?? three}`).split(".");
}

/** Returns a value as one line of text. */
export function writeValue(value) {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Returns text in which characters that cannot be seen, or that turn others round, are written out. */
export function makeVisible(text) {
  return text.replace(UNSEEN, (char) => {
    if (char === "\n") return "⏎";
    if (char === "\t") return "⇥";
    return `\\u${char.codePointAt(0).toString(16).padStart(4, "0")}`;
  });
}

export function clipText(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/** Returns JSON with line breaks and indents as [kind, text] pairs; digits and escapes stay as they came. */
export function formatJson(text, indent = "  ") {
  const pieces = [];
  const tokens = text.match(TOKEN) ?? [];
  let depth = 0;
  const breakLine = () => pieces.push(["", `\n${indent.repeat(Math.min(depth, 40))}`]);
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      pieces.push(["", token]);
      depth += 1;
      if (next !== "}" && next !== "]") breakLine();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const before = tokens[index - 1];
      if (before !== "{" && before !== "[") breakLine();
      pieces.push(["", token]);
    } else if (token === ",") {
      pieces.push(["", ","]);
      breakLine();
    } else if (token === ":") {
      pieces.push(["", ": "]);
    } else {
      const kind = token[0] !== '"' ? "number" : next === ":" ? "name" : "text";
      pieces.push([kind, token]);
    }
  });
  return pieces;
}

/** Returns an element with children; strings become text, never markup. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function makeButton(text, className, onClick, title = "") {
  const button = make("button", className, text);
  button.type = "button";
  if (title) button.title = title;
  button.addEventListener("click", onClick);
  return button;
}

export const formatNumber = (number) => number.toLocaleString("en-US");
