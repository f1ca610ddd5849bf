// What is copied of an event: itself, and the commands that send it again or find it.

/** Returns a command that sends the event again, signed with the secret that is in EVENTPUB_SECRET. */
export function writeSend(entry, collector) {
  const { version, key } = entry.parsed;
  const isThrift = version === "2" && !entry.isStored; // only then is it here as it came
  const path = isThrift ? "v2" : "v2j";
  const body = isThrift ? `{"1":{"lst":["rec",1,${entry.json}]}}` : `[${entry.json}]`;
  return [
    ...(version === "2" && !isThrift ? ["# stored under the names of its fields, so it goes to /v2j"] : []),
    "# EVENTPUB_SECRET: the secret of the key in base64, as [keys] of collector.ini has it",
    `BODY=${quoteWord(body)}`,
    `MAC=$(printf %s "$BODY" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(printf %s "$EVENTPUB_SECRET" | base64 -d | od -An -v -tx1 | tr -d ' \\n')" | sed 's/.* //')`,
    `printf %s "$BODY" | curl --data-binary @- -H ${quoteWord("Content-Type: application/json")} -H "X-Signature: key="${quoteWord(key || "NAME")}", mac=$MAC" ${quoteWord(`${collector}/${path}`)}`,
  ].join("\n");
}

/** Returns a command that finds the event here; it needs no key. */
export function writeFind(entry) {
  const { uuid } = Object(entry.event);
  const query = new URLSearchParams(typeof uuid === "string" ? { uuid } : { "@batch_id": entry.parsed.batch_id ?? "" });
  return `curl ${quoteWord(`${location.origin}/micro/${entry.isStored ? "good" : "bad"}?${query}`)}`;
}

/** Returns a word of a shell: between single quotes nothing has a meaning there. */
export function quoteWord(text) {
  return `'${text.replaceAll("\0", "").replaceAll("'", `'\\''`)}'`;
}

/** Copies text; browsers have a clipboard only for localhost and HTTPS, and a command for the others. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
