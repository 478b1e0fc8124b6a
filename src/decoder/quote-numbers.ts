const BACKSLASH = 92;
const NUMBER = /[-\d][-+.\deE]*/g;

/**
 * Puts quotes around the numbers of a JSON text, outside its strings: JSON.parse would round a bigint of more than 53
 * bits and drop the trailing zeros of a numeric, and as a string it is exact.
 */
export function quoteNumbers(json: string): string {
  let out = '';
  let at = 0;
  while (at < json.length) {
    const opening = json.indexOf('"', at);
    if (opening < 0) return out + quoteAll(json.slice(at));
    const next = endOfString(json, opening);
    out += quoteAll(json.slice(at, opening)) + json.slice(opening, next);
    at = next;
  }
  return out;
}

const quoteAll = (json: string): string => json.replace(NUMBER, '"$&"');

/** The place after the closing quote, or the end of the text. */
function endOfString(json: string, opening: number): number {
  for (let at = opening + 1; ; at++) {
    at = json.indexOf('"', at);
    if (at < 0) return json.length;
    let escapes = 0;
    while (json.charCodeAt(at - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}
