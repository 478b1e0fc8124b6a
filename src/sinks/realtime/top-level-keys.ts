/** A text of JSON, up to the end of it; the last one may be cut off. */
const TOKEN = /"(?:[^"\\]|\\.)*"?|[{}[\]:,]/gs;

/** The keys of a JSON object of which only the beginning may be there, since long answers are cut. */
export function topLevelKeys(text: string): ReadonlySet<string> {
  const keys = new Set<string>();
  if (!/^\s*\{/.test(text)) return keys;
  let depth = 0;
  let before = '';
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    else if (token === ':' && depth === 1 && before.length > 1) keys.add(before.slice(1, -1));
    before = token;
    if (depth === 0) break;
  }
  return keys;
}
