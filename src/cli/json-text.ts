/** Parts of a JSON text as they stand there: parsing would lose digits of long numbers. The text must be valid JSON. */

/** The values of an array, or the members of an object with their names. */
export function partsOf(json: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = json.search(/[[{]/) + 1;
  for (let at = from - 1; at >= 0 && at < json.length; at += 1) {
    const char = json.charAt(at);
    if (char === '"') at = endOfString(json, at);
    else if (char === '[' || char === '{') depth += 1;
    else if (char === ']' || char === '}') depth -= 1;
    if (depth > 1 || (depth === 1 && char !== ',')) continue;
    parts.push(json.slice(from, at).trim());
    from = at + 1;
    if (depth === 0) break;
  }
  return parts.filter((part) => part !== '');
}

/** The value of one member of an object; undefined when there is none. */
export function memberOf(json: string, name: string): string | undefined {
  for (const part of partsOf(json)) {
    const end = endOfString(part, 0) + 1;
    if (part.startsWith('"') && JSON.parse(part.slice(0, end)) === name) {
      return part.slice(end).replace(/^\s*:\s*/, '');
    }
  }
  return undefined;
}

/** The index of the closing quote of the string that begins at `from`. */
function endOfString(json: string, from: number): number {
  for (let at = from + 1; at < json.length; at += 1) {
    if (json.charAt(at) === '\\') at += 1;
    else if (json.charAt(at) === '"') return at;
  }
  return json.length;
}
