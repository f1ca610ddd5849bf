// The counts beside the list: by key, by source, noun and action, and of refusals; a click filters.

import { writeWord } from "./filter.js";
import { formatNumber, make, makeVisible } from "./values.js";

const PARTS = ["source", "noun", "action"];

/** Shows counts; `onFilter` gets the words of a search. */
export function drawCounts(element, tallies, onFilter) {
  element.replaceChildren(
    ...makeTable("By key", tallies.keys, ([key, stored, refused, again]) => ({
      name: key || "(no key)",
      count: stored,
      more: [refused && `${formatNumber(refused)} refused`, again && `${formatNumber(again)} again`].filter(Boolean).join(", "),
      words: writeWord("@key", key),
    }), onFilter),
    ...makeTable("Source · noun · action", tallies.names, ([source, noun, action, count]) => {
      const parts = [source, noun, action];
      return {
        name: parts.filter((part) => part !== null).join(" · ") || "(none of these)",
        count,
        words: PARTS.map((part, index) => parts[index] !== null && parts[index] !== "…" && writeWord(part, parts[index])).filter(Boolean).join(" "),
      };
    }, onFilter),
    ...makeTable("Refused", tallies.refusals, ([error, field, count]) => ({
      name: field ?? error.replaceAll("_", " "),
      more: field ? error.replaceAll("_", " ") : "",
      count,
      words: [writeWord("@error", error), field && writeWord("@field", field)].filter(Boolean).join(" "),
      kind: "refused",
    }), onFilter),
  );
}

function makeTable(title, rows, describe, onFilter) {
  if (!rows.length) return [];
  const described = rows.map(describe);
  const most = Math.max(1, ...described.map(({ count }) => count));
  return [make("h2", "", title), make("ul", "counts", ...described.map(({ name, count, more = "", words, kind = "" }) => {
    const button = make("button", kind, make("bdi", "", makeVisible(name)), make("small", "", more), make("b", "", formatNumber(count)));
    button.type = "button";
    button.style.setProperty("--share", count / most);
    button.addEventListener("click", () => onFilter(words));
    return make("li", "", button);
  }))];
}
