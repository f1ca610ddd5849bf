// The search box -> a function that tells which entries are admitted.

import { findValue, ownValue, writeValue } from "./values.js";

const WORD = /(-?)(?:([@\w.[\]'-]+)[:=])?(?:"((?:[^"\\]|\\.)*)"|(\S+))/g;

/** Returns a function of an entry, made of the words of a search and of an outcome ("" for any). */
export function makeFilter(text, outcome) {
  const tests = [];
  if (outcome) tests.push((entry) => entry.isStored === (outcome === "stored"));
  for (const [, minus, path, quoted, plain] of text.matchAll(WORD)) {
    const wanted = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
    const test = path ? makeFieldTest(path, wanted) : makeTextTest(wanted);
    tests.push(minus ? (entry) => !test(entry) : test);
  }
  return (entry) => tests.every((test) => test(entry));
}

function makeTextTest(wanted) {
  const pattern = new RegExp(escape(wanted), "i");
  return (entry) => pattern.test(entry.searched);
}

function makeFieldTest(path, wanted) {
  const pattern = new RegExp(`^${wanted.split("*").map(escape).join("[^]*")}$`);
  const plain = /^[\w.-]+$/.test(wanted) ? wanted : ""; // it stands in the line as it is
  return (entry) => {
    if (plain && !entry.line.includes(plain)) return false;
    const value = path[0] === "@" ? ownValue(entry.parsed, path.slice(1)) : findValue(entry.event, path);
    const found = value !== undefined && pattern.test(writeValue(value));
    entry.forget();
    return found;
  };
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

/** Returns the word of a search that asks for a value of a field. */
export function writeWord(path, value) {
  const text = writeValue(value);
  return `${path}:${/^[^\s"*\\]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`}`;
}
